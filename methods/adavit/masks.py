"""What a block's gates say and keep, of each image."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Masks:
    """What a block keeps of each image: 1 (or True) for kept.

    Shape: ``layers`` (B, 2), attention and MLP; ``heads`` (B, H); ``tokens`` (B, N), the class token not among them.
    """

    layers: Tensor
    heads: Tensor
    tokens: Tensor

    def to(self, dtype: torch.dtype) -> Masks:
        """The same in another type."""
        return Masks(self.layers.to(dtype), self.heads.to(dtype), self.tokens.to(dtype))

    def detach(self) -> Masks:
        """The same without gradient."""
        return Masks(self.layers.detach(), self.heads.detach(), self.tokens.detach())

    @property
    def runs(self) -> Tensor:
        """Whether a half of the block runs. Shape: (B,), bool."""
        return self.layers.detach().bool().any(1)

    @classmethod
    def keep_all(cls, batch: int, heads: int, tokens: int, like: Tensor) -> Masks:
        """Masks that drop nothing, on ``like``'s device and of its type."""
        return cls(like.new_ones(batch, 2), like.new_ones(batch, heads), like.new_ones(batch, tokens))


@dataclass(frozen=True)
class Gates:
    """A block's log-odds of keeping, shaped as its ``Masks``; None for a dimension that it does not decide.

    In ``predict`` they are NaN for an image whose gate was not asked: heads and tokens of a block that is skipped.
    """

    layers: Tensor | None
    heads: Tensor | None
    tokens: Tensor | None

    def by_dimension(self) -> dict[str, Tensor | None]:
        """The logits by the names of their dimensions."""
        return {"layers": self.layers, "heads": self.heads, "tokens": self.tokens}
