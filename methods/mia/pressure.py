"""How hard training pulls towards the target where that is not fixed: it falls, α warms up, β is measured."""

from __future__ import annotations

from typing import Literal

import torch
from accelerate.utils import reduce
from torch import Tensor, nn

BetaRule = Literal["fixed", "scatter", "proportional"]
FAR = 0.1
"""How far from the target the proportional β is β. Units: fractions of the dense cost."""
MOST_SCALE = 10.0
"""Where α stops growing: far above what was ever needed, and below what would drown the task."""


def asked_at(done: float, target: float, over: float) -> float:
    """What co-training asks for: the dense cost at its beginning, falling in a line to the target.

    Without it a short stage shuts whole blocks within its first steps, sooner than the task's gradient can tell the
    blocks apart, and L_cost, which is weighed by L_task, presses the harder the more of the task is lost: nothing
    recovers. On Imagenette, of 133 steps an epoch, the first 28 shut a quarter of all blocks, and the loss stayed at
    chance.

    Args:
        done: how much of co-training is done, from 0 to 1.
        target: as a fraction of the dense cost.
        over: the share of co-training that it falls over; 0 asks for the target from the first step on (Eq. 6).

    >>> [asked_at(done, 0.4, 0.5) for done in (0.0, 0.25, 0.5, 1.0)]
    [1.0, 0.7, 0.4, 0.4]
    """
    return target if done >= over else 1 - (1 - target) * done / over


class CostScale(nn.Module):
    """|α| · L_cost / L_task of Eq. 6, from ``start`` on: times ``growth`` with each batch on the side of the target
    that the one before was on, halved where the side changes, and never below ``start``.

    At a ``growth`` of 1 it is the paper's constant. It is kept in buffers, so that a killed training goes on with it,
    and is the same on all processes.
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
    def step(self, executed: Tensor, target: float) -> Tensor | float:
        """The scale for a batch that executed so much; scalars. Units: fractions of the dense cost."""
        if self.growth == 1:
            return self.start
        side = (_mean(executed) - target).sign()
        grown = (self.scale * self.growth).clamp(max=max(MOST_SCALE, self.start))
        self.scale.copy_(torch.where(side == self.side, grown, (self.scale / 2).clamp(min=self.start)))
        self.side.copy_(side)
        return self.scale


def beta_of(
    rule: BetaRule, beta: float, correct: Tensor, sampled: Tensor, executed: Tensor, target: float
) -> Tensor | float:
    """β of Eq. 8 for a batch.

    Args:
        rule: ``fixed``: as it is given. ``scatter``: the standard deviation of correctness over that of the sampled
            cost, so that both terms of the reward weigh alike; as it is given for a batch that is all right or all
            wrong. ``proportional``: as it is given at ``FAR`` above the target, none on it, negative below.
        beta: in correct answers for the whole dense cost.
        correct: 1 or 0. Shape: (B,).
        sampled: cost of each image. Shape: (B,).
        executed: mean cost without noise.
        target: what it should be.

    Units: costs as fractions of the dense cost.

    >>> right, cost = torch.tensor([1.0, 0.0]), torch.tensor([0.7, 0.9])
    >>> float(beta_of("scatter", 1.0, right, cost, cost.mean(), 0.7))
    5.0
    >>> round(float(beta_of("proportional", 1.0, right, cost, cost.mean(), 0.7)), 4)
    1.0
    """
    if rule == "proportional":
        return beta / FAR * (_mean(executed) - target)
    if rule == "scatter" and len(correct) > 1 and float(correct.std()) > 0:
        return correct.std() / sampled.std().clamp(min=1e-6)
    return beta


def _mean(value: Tensor) -> Tensor:
    """Over all processes."""
    mean: Tensor = reduce(value.detach().clone(), reduction="mean")
    return mean
