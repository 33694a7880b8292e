"""Everything about A-ViT that is fixed by training, and everything that the paper leaves open."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from dynvit.errors import InputError

_POWER = math.log(75 / 30) / math.log(384 / 192)


@dataclass(frozen=True)
class AViTOptions:
    """A-ViT as it is trained. Symbols are those of arXiv 2112.07658; the defaults are its authors' settings.

    Raises: ``InputError`` for a value out of its range.
    """

    scale: float = 10.0
    """γ: a token's halting score in a block is h = σ(γ·x₀ − β), x₀ the first channel of the block's output. Above 0."""
    center: float | None = None
    """β. None: the published 30 of a width of 192 and 75 of 384, other widths on the power law through the two, for
    none is published: 4.8 at 48, 188 at 768. It is how far x₀ must grow to halt a token."""
    epsilon: float = 0.01
    """ε: a token halts at the first block at which its scores add up to 1 − ε. In (0, 1)."""
    ponder_weight: float = 5e-4
    """α_p of the ponder loss: the mean over tokens of the blocks that one runs in, and its remainder."""
    prior_weight: float = 1e-3
    """α_d of the divergence between the depths at which tokens halt and the prior."""
    prior_depth: float = 2 / 3
    """Where the prior has its mean, as a share of the blocks: block 8 of 12, counted from 0, in the public code."""
    prior_deviation: float = 1.0
    """The prior's standard deviation. Units: blocks."""
    ends: Literal["class", "never"] = "class"
    """When an image ends. ``class``: where its class token has halted, for nothing that runs later reaches the answer.
    ``never``: its other tokens go on by themselves, as in the public code; logits are the same."""

    def __post_init__(self) -> None:
        for name in ("scale", "prior_deviation"):
            if getattr(self, name) <= 0:
                raise InputError(f"option {name} must be above 0, got {getattr(self, name):g}")
        if not 0 < self.epsilon < 1:
            raise InputError(f"option epsilon must be above 0 and below 1, got {self.epsilon:g}")
        if not 0 <= self.prior_depth <= 1:
            raise InputError(f"option prior_depth must be from 0 to 1 of the blocks, got {self.prior_depth:g}")
        for name in ("ponder_weight", "prior_weight"):
            if getattr(self, name) < 0:
                raise InputError(f"option {name} must be 0 or above, got {getattr(self, name):g}")

    def center_for(self, width: int) -> float:
        """β on a backbone of this width.

        >>> [round(AViTOptions().center_for(width), 6) for width in (192, 384)]
        [30.0, 75.0]
        """
        return 30 * (width / 192) ** _POWER if self.center is None else self.center
