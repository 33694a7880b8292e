"""Compute: the closed form of each part, and the sum over the parts of a usage.

MACs are the multiply-adds of matrix products and convolutions. The rule ``matmul+conv`` counts those only,
in patch embedding, head, controllers and predictors too; normalisation, softmax, GELU, sorting, pooling and
up-sampling count 0, however they are computed. The rule ``fvcore`` (what the DVT paper used, and what
DynamicViT's script prints) adds 5 per normalised element (2 of a batch norm with fixed statistics), 1 per output
element of a nearest up-sampling and 1 per input element of an average pooling; it stands beside the papers' numbers
and is never mixed with ours. A rule is a function of a part; a plug-in registers its own (``register_rule``, or the
entry-point group ``dynvit.rules``).

Counts are integers where every image does the same work and ``(B,)`` tensors where images differ; gradients
flow through counts that have them, so a cost loss reads the same closed form as the leaderboard.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from dynvit.errors import InputError
from dynvit.interface import Rule, Usage
from dynvit.registry import Registry

Count = int | Tensor
CountingRule = Callable[[Any], Count]
"""(part) → what it counts for. The part is one of those below."""

rules: Registry[CountingRule] = Registry("counting rule", "dynvit.rules")
register_rule = rules.register
_rule = cache(rules.get)


class Counted:
    """A part that rules count. ``multiply_adds`` are those of matrix products and convolutions, 0 in any other part."""

    @property
    def multiply_adds(self) -> Count:
        """Units: MACs."""
        return 0

    def macs(self, rule: Rule) -> Count:
        """Units: MACs. Raises: ``InputError`` for an unknown rule."""
        return _rule(rule)(self)


@dataclass(frozen=True)
class Linear(Counted):
    """A linear layer on ``rows`` tokens; rows·d_in·d_out MACs.

    >>> Linear("head", rows=1, d_in=192, d_out=1000).macs("matmul+conv")
    192000
    """

    name: str
    rows: Count
    d_in: Count
    d_out: Count

    @property
    def multiply_adds(self) -> Count:
        """Units: MACs."""
        return self.rows * self.d_in * self.d_out


@dataclass(frozen=True)
class Attention(Counted):
    """QKᵀ and AV of ``heads`` heads; heads·queries·keys·(key width + value width) MACs."""

    name: str
    queries: Count
    keys: Count
    heads: Count
    head_dim: int
    value_dim: int | None = None

    @property
    def multiply_adds(self) -> Count:
        """Units: MACs."""
        value_dim = self.head_dim if self.value_dim is None else self.value_dim
        return self.heads * self.queries * self.keys * (self.head_dim + value_dim)


@dataclass(frozen=True)
class Matching(Counted):
    """Similarities of ``left`` with ``right`` tokens, by products of ``width`` numbers; left·right·width MACs.

    Papers leave them out; they are matrix products that run.

    >>> Matching("blocks.0.matching", left=99, right=98, width=64).macs("matmul+conv")
    620928
    """

    name: str
    left: Count
    right: Count
    width: int

    @property
    def multiply_adds(self) -> Count:
        """Units: MACs."""
        return self.left * self.right * self.width


@dataclass(frozen=True)
class Convolution(Counted):
    """A convolution that makes ``positions`` outputs a channel, each from ``fan_in`` inputs."""

    name: str
    positions: Count
    fan_in: int
    channels: int

    @property
    def multiply_adds(self) -> Count:
        """Units: MACs."""
        return self.positions * (self.fan_in * self.channels)


@dataclass(frozen=True)
class Normalization(Counted):
    """A normalisation of ``elements`` numbers: 5 each under fvcore's rule, else 0.

    ``per_element`` is 2 for a batch norm in eval mode, which is a scale and a shift.
    """

    name: str
    elements: Count
    per_element: int = 5


@dataclass(frozen=True)
class Resize(Counted):
    """An up-sampling or pooling: 0 but under fvcore's rule.

    ``upsampled`` counts the outputs of a nearest up-sampling, ``pooled`` the inputs of an average pooling.
    """

    name: str
    upsampled: Count = 0
    pooled: Count = 0


@dataclass(frozen=True)
class Executed(Counted):
    """Work of which only the whole is known: the multiply-adds that torch was seen to execute, by ``count_executed``.

    Only the rule ``matmul+conv`` is of what executes; another needs the closed form of each part.
    """

    name: str
    ran: int

    @property
    def multiply_adds(self) -> int:
        """Units: MACs."""
        return self.ran

    def macs(self, rule: Rule) -> Count:
        """Units: MACs. Raises: ``InputError`` for another rule than matmul+conv."""
        if rule != "matmul+conv":
            raise InputError(f"the rule {rule} has no form for {self.name}, which is counted as executed: matmul+conv")
        return self.ran


@register_rule("matmul+conv")
def multiply_adds(part: Counted) -> Count:
    """Multiply-adds of matrix products and convolutions; what torch executes."""
    return part.multiply_adds


@register_rule("fvcore")
def fvcore(part: Counted) -> Count:
    """Multiply-adds, normalisations and resizes, as fvcore counts them: for papers' numbers."""
    if isinstance(part, Normalization):
        return part.elements * part.per_element
    if isinstance(part, Resize):
        return part.upsampled + part.pooled
    return part.multiply_adds


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
    counter = FlopCounterMode(display=False)
    # Its own tracker, which sorts counts by module, fails on a view of a parameter that a module is given without
    # gradients (attention pooling's latent query), and costs time.
    counter.mod_tracker = _NoModules()  # type: ignore[assignment]
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:
        run()
    return counter.get_total_flops() // 2


class _NoModules(AbstractContextManager[None]):
    """All counts are of the whole."""

    parents = frozenset({"Global"})

    def __exit__(self, *_raised: object) -> None:
        """Nothing to undo."""
