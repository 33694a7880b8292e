"""Auto-PGD: projected gradient ascent with momentum that adapts its step size, image by image.

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

MOMENTUM_KEPT = 2
"""The revision of Auto-PGD since which a halving of the step leaves the momentum as it is; the first set it to zero."""


@dataclass(frozen=True)
class Schedule:
    """Settings of a run. ``rho``: the share of steps between checkpoints that must have raised the loss."""

    steps: int
    momentum: float
    rho: float
    early_stop: bool

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise InputError(f"steps of apgd must be 1 or more, got {self.steps}")
        if not (0 < self.momentum <= 1 and 0 <= self.rho <= 1):
            raise InputError(
                f"momentum of apgd must be in (0, 1] and rho in [0, 1], got {self.momentum:g} and {self.rho:g}"
            )


@dataclass(frozen=True)
class APGD(Attack):
    """Ascent of the criterion's loss (cross-entropy: APGD-CE) from ``restarts`` starts drawn uniformly from the ball.

    Each start takes ``steps`` forward and backward passes and one forward pass. The image of the highest score is kept.
    Successful images are not restarted; ``early_stop`` drops them at once, which saves passes and leaves their margin
    small.
    """

    steps: int = 100
    restarts: int = 1
    momentum: float = 0.75
    rho: float = 0.75
    early_stop: bool = False
    seed: int = 0
    revision: ClassVar[int] = MOMENTUM_KEPT
    summary: ClassVar[str] = "Auto-PGD on cross-entropy, adapts its step size; linf, l2"

    def __post_init__(self) -> None:
        if self.restarts < 1:
            raise InputError(f"restarts of apgd must be 1 or more, got {self.restarts}")
        self._schedule()

    def search(self, problem: AttackProblem) -> Tensor:
        """All starts, one after the other. Shape: (B, C, H, W)."""
        best = Best(problem)
        for restart in range(self.restarts):
            rows = problem.rows[~best.successful]
            if not len(rows):
                break
            start = problem.threat.start(problem.clean[rows], draws(problem.ids_of(rows), self.seed, "start", restart))
            ascend(problem, best, rows, start, self._schedule(), lambda rows: problem.criterion)
        return best.images

    def _schedule(self) -> Schedule:
        return Schedule(self.steps, self.momentum, self.rho, self.early_stop)


def checkpoints(steps: int) -> Sequence[int]:
    """The steps after which step sizes are checked: w_j = ⌈p_j·steps⌉ (§3.1).

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
    """The state of each image. ``top``: at the highest loss so far; ``size``: η; ``rises``: steps since the last
    checkpoint that raised the loss; ``mark``: the highest loss at that checkpoint; ``kept``: whether it kept η."""

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
        has changed since the last one (condition 2). Those images go on from their top; the momentum of their next step
        is from the image before it, x^(k): the algorithm sets x^(k+1) alone."""
        halved = (self.rises < rho * period) | (self.kept & (self.top_loss <= self.mark))
        return replace(
            self,
            images=_choose(halved, self.top, self.images),
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
    start: Tensor,
    schedule: Schedule,
    criterion_of: Callable[[Tensor], Criterion],
) -> None:
    """One run on some of the images; the best images that it finds go to ``best``.

    Args:
        problem: what is attacked.
        best: updated in place.
        rows: the images' indices, (b,).
        start: where the run starts, (b, C, H, W).
        schedule: the settings.
        criterion_of: the criterion of some rows.
    """
    threat, marks = problem.threat, [0, *checkpoints(schedule.steps)]
    evaluation = problem.evaluate(start, rows, criterion_of(rows))
    best.update(rows, start, evaluation.score)
    at, zero = (start, evaluation.loss, evaluation.gradient), torch.zeros_like(evaluation.loss)
    size = start.new_full((len(start), 1, 1, 1), 2 * threat.eps)  # the loss may be of a wider type than the images
    state = _State(
        rows,
        problem.clean[rows],
        start,
        start,
        *at[1:],
        *at,
        size,
        zero,
        evaluation.loss,
        torch.zeros_like(rows, dtype=torch.bool),
    )
    for step in range(1, schedule.steps + 1):
        if schedule.early_stop:
            state = state.of(~best.successful[state.rows])
            if not len(state.rows):
                return
        images = state.stepped(threat, 1.0 if step == 1 else schedule.momentum)
        criterion = criterion_of(state.rows)
        if step == schedule.steps:
            best.update(state.rows, images, problem.score(images, state.rows, criterion))
            return
        evaluation = problem.evaluate(images, state.rows, criterion)
        best.update(state.rows, images, evaluation.score)
        state = state.moved(images, evaluation.loss, evaluation.gradient)
        if step in marks:
            state = state.checked(step - marks[marks.index(step) - 1], schedule.rho)


def _choose(which: Tensor, yes: Tensor, no: Tensor) -> Tensor:
    return torch.where(which[:, None, None, None], yes, no)
