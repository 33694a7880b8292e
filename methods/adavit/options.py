"""Everything about AdaViT that is fixed by training, and everything that the paper leaves open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dynvit.errors import InputError, unknown

Dimension = Literal["layers", "heads", "tokens"]
DIMENSIONS: tuple[Dimension, ...] = ("layers", "heads", "tokens")
THRESHOLDS: dict[str, str] = {"layers": "layer_threshold", "heads": "head_threshold", "tokens": "token_threshold"}
"""The knob of each dimension."""
TRAINED: dict[str, float] = {"layers": 0.5, "heads": 0.5, "tokens": 0.6}
"""The thresholds of P(keep) that training aims at; those of the public code."""


@dataclass(frozen=True)
class AdaViTOptions:
    """AdaViT as it is built and trained (arXiv 2111.15668); the defaults are the public code's settings.

    Raises: ``InputError`` for a value out of its range.
    """

    dimensions: tuple[str, ...] = DIMENSIONS
    """What is decided: any of layers (attention and MLP apart), heads, tokens. One left out is kept, without a gate."""
    static_blocks: int = 1
    """First blocks that run whole but for their tokens. From 0 to the depth less one."""
    layer_target: float = 0.5
    """γ_b: the share of attention and MLP halves that training aims at. In (0, 1]."""
    head_target: float = 0.5
    """γ_h: the share of heads. In (0, 1]."""
    token_target: float = 0.5
    """γ_p: the share of tokens. In (0, 1]."""
    layer_weight: float = 2.0
    """Weight of the layers' usage loss."""
    head_weight: float = 2.0
    """Weight of the heads' usage loss."""
    token_weight: float = 2.0
    """Weight of the tokens' usage loss."""
    usage: Literal["published", "squared"] = "published"
    """The usage loss. ``published``: the distance from the target, of tokens its square, and heads count in blocks that
    run. ``squared``: the square of each, over all blocks, as the paper has it."""
    diversity: float = 0.0
    """Weight, in the layers' and heads' loss, of each block's distance from the target; 0.1 in the public loss, which
    its command line sets to 0."""
    entropy: float = 0.0
    """Weight, in the same, of the gates' entropy, which is raised; likewise."""
    temperature: float = 5.0
    """τ of the Gumbel-sigmoid (Eq. 4). Above 0."""
    attention_gradient: bool = False
    """Whether gradients reach token gates through attention, which sees kept tokens only. The public code stops them
    there: a gate then learns from what its own token adds."""
    init_logit: float = 0.0
    """The bias of each gate at the start; 0 in the public code, where a new model keeps half of everything."""

    def __post_init__(self) -> None:
        for name in self.dimensions:
            if name not in DIMENSIONS:
                raise unknown("dimension", name, DIMENSIONS)
        if not self.dimensions:
            raise InputError(f"option dimensions must have one or more of {', '.join(DIMENSIONS)}; got none")
        object.__setattr__(self, "dimensions", tuple(name for name in DIMENSIONS if name in self.dimensions))
        for name in ("layer_target", "head_target", "token_target"):
            if not 0 < getattr(self, name) <= 1:
                raise InputError(f"option {name} must be above 0 and at most 1, got {getattr(self, name):g}")
        for name in ("layer_weight", "head_weight", "token_weight", "diversity", "entropy"):
            if getattr(self, name) < 0:
                raise InputError(f"option {name} must be 0 or above, got {getattr(self, name):g}")
        if self.temperature <= 0:
            raise InputError(f"option temperature must be above 0, got {self.temperature:g}")
        if self.static_blocks < 0:
            raise InputError(f"option static_blocks must be 0 or above, got {self.static_blocks}")
