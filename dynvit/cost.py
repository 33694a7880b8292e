"""Compute: the closed form of each part, and the sum over the parts of a usage.

MACs are the multiply-adds of matrix products and convolutions. The rule ``matmul+conv`` counts those only,
in patch embedding, head, controllers and predictors too; normalisation, softmax, GELU, sorting, pooling and
up-sampling count 0, however they are computed. The rule ``fvcore`` (what the DVT paper used, and what
DynamicViT's script prints) adds 5 per normalised element (2 of a batch norm with fixed statistics), 1 per output
element of a nearest up-sampling and 1 per input element of an average pooling; it stands beside the papers' numbers
and is never mixed with ours.

Counts are integers where every image does the same work and ``(B,)`` tensors where images differ; gradients
flow through counts that have them, so a cost loss reads the same closed form as the leaderboard.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from dynvit.interface import Rule, Usage

Count = int | Tensor


@dataclass(frozen=True)
class Linear:
    """A linear layer on ``rows`` tokens; rows·d_in·d_out MACs.

    >>> Linear("head", rows=1, d_in=192, d_out=1000).macs("matmul+conv")
    192000
    """

    name: str
    rows: Count
    d_in: Count
    d_out: Count

    def macs(self, rule: Rule) -> Count:
        """Units: MACs."""
        return self.rows * self.d_in * self.d_out


@dataclass(frozen=True)
class Attention:
    """QKᵀ and AV of ``heads`` heads; heads·queries·keys·(key width + value width) MACs."""

    name: str
    queries: Count
    keys: Count
    heads: Count
    head_dim: int
    value_dim: int | None = None

    def macs(self, rule: Rule) -> Count:
        """Units: MACs."""
        value_dim = self.head_dim if self.value_dim is None else self.value_dim
        return self.heads * self.queries * self.keys * (self.head_dim + value_dim)


@dataclass(frozen=True)
class Convolution:
    """A convolution that makes ``positions`` outputs a channel, each from ``fan_in`` inputs."""

    name: str
    positions: Count
    fan_in: int
    channels: int

    def macs(self, rule: Rule) -> Count:
        """Units: MACs."""
        return self.positions * (self.fan_in * self.channels)


@dataclass(frozen=True)
class Normalization:
    """A normalisation of ``elements`` numbers: 5 each under fvcore's rule, else 0.

    ``per_element`` is 2 for a batch norm in eval mode, which is a scale and a shift.
    """

    name: str
    elements: Count
    per_element: int = 5

    def macs(self, rule: Rule) -> Count:
        """Units: MACs."""
        return self.elements * (self.per_element if rule == "fvcore" else 0)


@dataclass(frozen=True)
class Resize:
    """An up-sampling or pooling: 0 but under fvcore's rule.

    ``upsampled`` counts the outputs of a nearest up-sampling, ``pooled`` the inputs of an average pooling.
    """

    name: str
    upsampled: Count = 0
    pooled: Count = 0

    def macs(self, rule: Rule) -> Count:
        """Units: MACs."""
        return (self.upsampled + self.pooled) * (1 if rule == "fvcore" else 0)


def macs(usage: Usage, rule: Rule = "matmul+conv") -> Tensor:
    """MACs of each image.

    Shape: (B,), int64 where every count is an integer. Units: MACs.
    """
    device = next((p.device for part in usage.parts if isinstance(p := part.macs(rule), Tensor)), None)
    total = torch.zeros(usage.images, dtype=torch.int64, device=device)
    alike = 0
    for part in usage.parts:
        ran = part.macs(rule)
        if isinstance(ran, Tensor):
            # Products of float32 counts lose whole MACs; integers and float64 do not.
            total = total + (ran.double() if ran.is_floating_point() else ran)
        else:
            alike += ran
    return total + alike


def count_executed(run: Callable[[], object]) -> int:
    """MACs that torch executes in ``run()``: claimed MACs are checked against them.

    Units: MACs of matrix products and convolutions. Fused attention is replaced by matrix products, because
    some builds of torch count it as 0 on CPU.
    """
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops() // 2
