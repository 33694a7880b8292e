"""What MIA-Former needs of a backbone: blocks that can run in part, masked or executed. One adapter a family."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Protocol

from torch import Tensor

from dynvit.cost import Count
from dynvit.interface import Part

from .controller import GateShape
from .gates import Masks


class MIAAdapter(Protocol):
    """A backbone as blocks of heads and tokens. It owns no weights.

    A block here is one that a controller may skip. ``enter`` of a block does what always
    runs before it (a shrinking attention, say), so it may change the number and width of tokens.
    """

    @property
    def gates(self) -> Sequence[GateShape]:
        """What is decided at each block, in order."""
        ...

    def embed(self, images: Tensor) -> Tensor:
        """Shape: images (B, 3, H, W) → tokens (B, n, C). Units: pixels in [0, 1]."""
        ...

    def enter(self, index: int, tokens: Tensor) -> Tensor:
        """What always runs before a block's controller. Shape: (B, n, C) → (B, n', C')."""
        ...

    def split(self, tokens: Tensor) -> tuple[Tensor, Tensor | None]:
        """The tokens that are decided on, and the class token. Shape: (B, n, C) → (B, N, C), (B, C) or None."""
        ...

    def masked(self, index: int, tokens: Tensor, masks: Masks) -> Tensor:
        """Block ``index``, differentiable and dense in shape, Eq. 4. Shape: (B, n, C) → the same."""
        ...

    def executed(self, index: int, tokens: Tensor, masks: Masks) -> Tensor:
        """The same block; what the masks drop is not computed. Masks are bool; ``tokens`` may be written to.

        Shape: (B, n, C) → the same.
        """
        ...

    def classify(self, tokens: Tensor) -> Tensor:
        """Shape: tokens (B, n, C) → logits (B, classes)."""
        ...

    def embed_parts(self) -> list[Part]:
        """The work of ``embed``."""
        ...

    def enter_parts(self, index: int) -> list[Part]:
        """The work of ``enter``."""
        ...

    def block_parts(self, index: int, runs: Count, heads: Count, tokens: Count) -> list[Part]:
        """The work of a block on ``heads`` heads and ``tokens`` tokens, the class token among them; none where it does
        not run.

        Shape: numbers, or (B,) each.
        """
        ...

    def kind(self, index: int) -> Hashable:
        """Blocks of one kind are decided in one shape and do the same work under the same masks."""
        ...

    def classify_parts(self, tokens: Count) -> list[Part]:
        """The work of ``classify`` on ``tokens`` tokens."""
        ...
