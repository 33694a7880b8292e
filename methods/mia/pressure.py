"""How hard training pulls towards the target where its strength is not fixed: α that warms up, β that follows.

Both keep their number in a buffer, so that a killed training goes on with it; on several processes all keep the same.
"""

from __future__ import annotations

from typing import Literal

import torch
from accelerate.utils import reduce
from torch import Tensor, nn

BetaRule = Literal["fixed", "scatter", "multiplier"]
RATE = 0.5
"""By how much β changes a step, for each unit that the executed cost is away from its target."""
MOST_SCALE, MOST_BETA = 10.0, 100.0
"""Where the two stop: far above what was ever needed, and far below what would drown the task."""


class CostScale(nn.Module):
    """|α| · L_cost / L_task of Eq. 6, from ``start`` on: times ``growth`` with each batch on the side of the target
    that the one before was on, halved where the side changes, and never below ``start``.

    At a ``growth`` of 1 it is the paper's constant.
    """

    scale: Tensor
    side: Tensor

    def __init__(self, start: float, growth: float) -> None:
        super().__init__()
        self.start, self.growth = start, growth
        self.register_buffer("scale", torch.tensor(start))
        self.register_buffer("side", torch.tensor(0.0))

    @torch.no_grad()
    def reset(self) -> None:
        """As at the beginning of the stage."""
        self.scale.fill_(self.start)
        self.side.zero_()

    @torch.no_grad()
    def step(self, executed: Tensor, target: float) -> Tensor:
        """The scale for a batch that executed so much; scalars. Units: fractions of the dense cost."""
        if self.growth == 1:
            return self.scale
        side = (_mean(executed) - target).sign()
        grown = (self.scale * self.growth).clamp(max=max(MOST_SCALE, self.start))
        self.scale.copy_(torch.where(side == self.side, grown, (self.scale / 2).clamp(min=self.start)))
        self.side.copy_(side)
        return self.scale


class Beta(nn.Module):
    """β of Eq. 8: as it is given, by the scatter of both terms in a batch, or as the multiplier of the constraint.

    ``scatter``: the standard deviation of correctness over that of the sampled cost, so that both terms of the reward
    weigh alike. ``multiplier``: gradient ascent on the Lagrangian of E[Y] subject to E[FLOPs_exec] ≤ FLOPs_target, from
    ``start`` on and never below 0.
    """

    beta: Tensor

    def __init__(self, start: float, rule: BetaRule) -> None:
        super().__init__()
        self.start, self.rule = start, rule
        self.register_buffer("beta", torch.tensor(start))

    @torch.no_grad()
    def reset(self) -> None:
        """As at the beginning of the stage."""
        self.beta.fill_(self.start)

    @torch.no_grad()
    def step(self, correct: Tensor, sampled: Tensor, executed: Tensor, target: float) -> Tensor:
        """β for a batch.

        Shape: ``correct`` and ``sampled`` (B,), ``executed`` scalar → scalar. Units: fractions of the dense cost.
        """
        if self.rule == "multiplier":
            self.beta.copy_((self.beta + RATE * (_mean(executed) - target)).clamp(0, MOST_BETA))
        elif self.rule == "scatter" and len(correct) > 1:
            answers, costs = correct.std(), sampled.std().clamp(min=1e-6)
            # Of a batch that is wholly right or wrong the scatter is 0: it says nothing, and β stays.
            found = (answers / costs).clamp(max=MOST_BETA)
            self.beta.copy_(torch.where(answers > 0, found, self.beta))
        return self.beta


def _mean(value: Tensor) -> Tensor:
    """Over all processes."""
    mean: Tensor = reduce(value.detach().clone(), reduction="mean")
    return mean
