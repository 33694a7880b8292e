"""Auto-PGD: projected gradient ascent with momentum that chooses its own steps, image by image.

Croce & Hein 2020 (arXiv 2003.01690), algorithm 1; section and equation numbers below are that paper's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import ClassVar

import torch
from torch import Tensor

from dynvit.attacks.attack import Attack
from dynvit.attacks.criterion import Criterion
from dynvit.attacks.draws import draws
from dynvit.attacks.problem import AttackProblem, Best
from dynvit.attacks.threat import Threat
from dynvit.errors import InputError


@dataclass(frozen=True)
class Schedule:
    """What a run is set to. ``rho``: the least share of steps that must have raised the loss between checkpoints."""

    steps: int
    momentum: float
    rho: float
    early_stop: bool

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise InputError(f"apgd takes 1 step at least: steps={self.steps}")
        if not (0 < self.momentum <= 1 and 0 <= self.rho <= 1):
            raise InputError(f"apgd's momentum={self.momentum:g} and rho={self.rho:g} are shares of 1")


@dataclass(frozen=True)
class APGD(Attack):
    """Ascent of the goal's loss (cross-entropy: APGD-CE) from ``restarts`` starts drawn evenly from the ball.

    ``steps`` passes there and back and one forward pass for each start. Keeps the image of the highest score. Images
    won are not started again; ``early_stop`` drops them at once, which saves passes and leaves their margin small.
    """

    steps: int = 100
    restarts: int = 1
    momentum: float = 0.75
    rho: float = 0.75
    early_stop: bool = False
    seed: int = 0
    summary: ClassVar[str] = "Auto-PGD on cross-entropy, chooses its own steps; linf, l2"

    def __post_init__(self) -> None:
        if self.restarts < 1:
            raise InputError(f"apgd takes 1 start at least: restarts={self.restarts}")
        self._schedule()

    def search(self, problem: AttackProblem) -> Tensor:
        """All starts, one after the other. Shape: (B, C, H, W)."""
        best = Best(problem)
        for restart in range(self.restarts):
            rows = problem.rows[~best.won]
            if not len(rows):
                break
            begin = problem.threat.start(problem.clean[rows], draws(problem.ids_of(rows), self.seed, "start", restart))
            ascend(problem, best, rows, begin, self._schedule(), lambda rows: problem.goal)
        return best.images

    def _schedule(self) -> Schedule:
        return Schedule(self.steps, self.momentum, self.rho, self.early_stop)


def checkpoints(steps: int) -> Sequence[int]:
    """After which steps the step sizes are looked at: w_j = ⌈p_j·steps⌉ (§3.1).

    p_0 = 0, p_1 = 0.22, p_(j+1) = p_j + max(p_j − p_(j−1) − 0.03, 0.06).

    >>> checkpoints(100)
    (22, 41, 57, 70, 80, 87, 93, 99)
    """
    found, before, share = [], 0.0, 0.22
    while share <= 1:
        found.append(math.ceil(round(share * steps, 9)))
        before, share = share, share + max(share - before - 0.03, 0.06)
    return tuple(dict.fromkeys(found))


@dataclass(frozen=True)
class _State:
    """Where each image stands. ``top``: at the highest loss so far; ``size``: η; ``rises`` since the last checkpoint,
    ``mark`` the highest loss at it, ``kept`` whether it left η as it was."""

    rows: Tensor
    clean: Tensor
    images: Tensor
    previous: Tensor
    loss: Tensor
    gradient: Tensor
    top: Tensor
    top_loss: Tensor
    top_gradient: Tensor
    size: Tensor
    rises: Tensor
    mark: Tensor
    kept: Tensor

    def of(self, which: Tensor) -> _State:
        return _State(*(getattr(self, field.name)[which] for field in fields(self)))

    def stepped(self, threat: Threat, momentum: float) -> Tensor:
        """The next images: eq. of algorithm 1, lines 7 and 8."""
        ascent = threat.project(self.images + self.size * threat.direction(self.gradient), self.clean)
        inertia = (1 - momentum) * (self.images - self.previous)
        return threat.project(self.images + momentum * (ascent - self.images) + inertia, self.clean)

    def moved(self, images: Tensor, loss: Tensor, gradient: Tensor) -> _State:
        higher = loss > self.top_loss
        return replace(
            self,
            images=images,
            previous=self.images,
            loss=loss,
            gradient=gradient,
            top=_choose(higher, images, self.top),
            top_loss=torch.where(higher, loss, self.top_loss),
            top_gradient=_choose(higher, gradient, self.top_gradient),
            rises=self.rises + (loss > self.loss),
        )

    def checked(self, period: int, rho: float) -> _State:
        """At a checkpoint: η is halved where too few steps rose (condition 1), or where neither η nor the highest loss
        has changed since the last one (condition 2); those images go back to their top, at rest."""
        halved = (self.rises < rho * period) | (self.kept & (self.top_loss <= self.mark))
        return replace(
            self,
            images=_choose(halved, self.top, self.images),
            previous=_choose(halved, self.top, self.previous),
            loss=torch.where(halved, self.top_loss, self.loss),
            gradient=_choose(halved, self.top_gradient, self.gradient),
            size=_choose(halved, self.size / 2, self.size),
            rises=torch.zeros_like(self.rises),
            mark=self.top_loss,
            kept=~halved,
        )


def ascend(
    problem: AttackProblem,
    best: Best,
    rows: Tensor,
    begin: Tensor,
    schedule: Schedule,
    goal_of: Callable[[Tensor], Criterion],
) -> None:
    """One run from ``begin`` on some rows; what it sees goes to ``best``. ``goal_of`` gives the goal of some rows.

    Shape: rows (b,), begin (b, C, H, W).
    """
    threat, marks = problem.threat, [0, *checkpoints(schedule.steps)]
    look = problem.climb(begin, rows, goal_of(rows))
    best.see(rows, begin, look.score)
    at, zero = (begin, look.loss, look.gradient), torch.zeros_like(look.loss)
    size = begin.new_full((len(begin), 1, 1, 1), 2 * threat.eps)  # the loss may be wider than the images
    state = _State(
        rows,
        problem.clean[rows],
        begin,
        begin,
        *at[1:],
        *at,
        size,
        zero,
        look.loss,
        torch.zeros_like(rows, dtype=torch.bool),
    )
    for step in range(1, schedule.steps + 1):
        if schedule.early_stop:
            state = state.of(~best.won[state.rows])
            if not len(state.rows):
                return
        images = state.stepped(threat, 1.0 if step == 1 else schedule.momentum)
        goal = goal_of(state.rows)
        if step == schedule.steps:
            best.see(state.rows, images, problem.judge(images, state.rows, goal))
            return
        look = problem.climb(images, state.rows, goal)
        best.see(state.rows, images, look.score)
        state = state.moved(images, look.loss, look.gradient)
        if step in marks:
            state = state.checked(step - marks[marks.index(step) - 1], schedule.rho)


def _choose(which: Tensor, yes: Tensor, no: Tensor) -> Tensor:
    return torch.where(which[:, None, None, None], yes, no)
