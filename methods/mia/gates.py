"""Logits of a controller, masks decided from them, and how: noise-free, sampled, or given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dynvit.ops.gates import gumbel_gate
from dynvit.ops.thresholds import threshold_gate


@dataclass(frozen=True)
class Masks:
    """What a block keeps of each image: 1 (or True) for kept. Where ``depth`` is 0 the others are meaningless.

    Shape: ``depth`` (B,), ``heads`` (B, H), ``tokens`` (B, N), the class token not among them.
    """

    depth: Tensor
    heads: Tensor
    tokens: Tensor

    def to(self, dtype: torch.dtype) -> Masks:
        """The same in another type."""
        return Masks(self.depth.to(dtype), self.heads.to(dtype), self.tokens.to(dtype))

    def detach(self) -> Masks:
        """The same without gradient."""
        return Masks(self.depth.detach(), self.heads.detach(), self.tokens.detach())

    def runs(self, class_token: bool) -> Tensor:
        """Whether the block runs: its depth gate is open, and a head and a token are kept. Differentiable.

        1 − Π(1 − D) is 1 where anything is kept; its gradient is that of the only one kept, and 0 where two are.
        Shape: (B,).
        """
        if self.depth.dtype == torch.bool:
            runs = self.depth & self.heads.any(1)
            return runs if class_token else runs & self.tokens.any(1)
        runs = self.depth * (1 - (1 - self.heads).prod(1))
        return runs if class_token else runs * (1 - (1 - self.tokens).prod(1))

    @classmethod
    def cat(cls, masks: Sequence[Masks]) -> Masks:
        """Those of several blocks, or of several batches, one after the other."""
        depth, heads, tokens = zip(*((one.depth, one.heads, one.tokens) for one in masks), strict=True)
        return cls(torch.cat(depth), torch.cat(heads), torch.cat(tokens))

    @classmethod
    def keep_all(cls, batch: int, heads: int, tokens: int, like: Tensor) -> Masks:
        """Masks that drop nothing, on ``like``'s device and of its type."""
        return cls(like.new_ones(batch), like.new_ones(batch, heads), like.new_ones(batch, tokens))


@dataclass(frozen=True)
class Values:
    """The critics' values, one number an image and branch; None for a branch that did not run.

    Shape: (B,) each.
    """

    depth: Tensor | None
    heads: Tensor | None
    tokens: Tensor | None


@dataclass(frozen=True)
class GateLogits:
    """Log-odds of keeping; None for a dimension that is switched off, or whose branch did not run.

    ``keep`` are the masks that drop nothing, for their shapes. ``values`` is None unless the critics ran. In
    ``predict`` an image whose block is skipped has no logits of heads and tokens: they are NaN.

    Shape: ``depth`` (B,), ``heads`` (B, H), ``tokens`` (B, N).
    """

    depth: Tensor | None
    heads: Tensor | None
    tokens: Tensor | None
    keep: Masks
    values: Values | None = None

    def by_dimension(self) -> dict[str, Tensor | None]:
        """The logits by the names of their dimensions."""
        return {"depth": self.depth, "heads": self.heads, "tokens": self.tokens}

    def decide(self, gate: Callable[[Tensor], Tensor]) -> Masks:
        """``gate`` on each dimension that has logits, everything kept in the others."""
        return Masks(
            self.keep.depth if self.depth is None else gate(self.depth),
            self.keep.heads if self.heads is None else gate(self.heads),
            self.keep.tokens if self.tokens is None else gate(self.tokens),
        )


Decide = Callable[[int, GateLogits], Masks]
"""(block, its controller's logits) → its masks. Every decision of the differentiable form is made by one."""


@dataclass(frozen=True)
class Thresholds:
    """P(keep) above which a gate is open, by dimension: 0 keeps everything and runs no controller, 1 drops everything.

    Units: probabilities, sigmoid of a logit.
    """

    depth: float = 0.5
    heads: float = 0.5
    tokens: float = 0.5


def noise_free(thresholds: Thresholds, temperature: float) -> Decide:
    """What ``predict`` decides, with straight-through gradients."""

    def decide(block: int, logits: GateLogits) -> Masks:
        def gate(found: Tensor | None, kept: Tensor, threshold: float) -> Tensor:
            return kept if found is None else threshold_gate(found, threshold, temperature)

        return Masks(
            gate(logits.depth, logits.keep.depth, thresholds.depth),
            gate(logits.heads, logits.keep.heads, thresholds.heads),
            gate(logits.tokens, logits.keep.tokens, thresholds.tokens),
        )

    return decide


def sampled(temperature: float) -> Decide:
    """Each gate is open with probability sigmoid(logit), straight-through (§3.2's Gumbel, of one logit)."""
    return lambda block, logits: logits.decide(lambda found: gumbel_gate(found, temperature))


def fixed(masks: tuple[Masks, ...]) -> Decide:
    """The given masks, whatever the controllers say."""
    return lambda block, logits: masks[block].to(logits.keep.depth.dtype)
