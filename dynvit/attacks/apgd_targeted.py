"""Auto-PGD towards one wrong class after another, by the targeted DLR loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from dynvit.attacks.apgd import MOMENTUM_KEPT, Schedule, ascend
from dynvit.attacks.attack import Attack
from dynvit.attacks.criterion import Criterion, targeted_dlr
from dynvit.attacks.draws import draws
from dynvit.attacks.problem import AttackProblem, Best
from dynvit.errors import InputError


@dataclass(frozen=True)
class _TargetedCriteria:
    """The criterion of some rows, each with its own target class."""

    targets: Tensor

    def __call__(self, rows: Tensor) -> Criterion:
        return targeted_dlr(self.targets[rows])


@dataclass(frozen=True)
class TargetedAPGD(Attack):
    """APGD-T (Croce & Hein 2020, §4): a run towards each of the ``targets`` likeliest wrong classes.

    The clean image decides which are the likeliest. An image that one target fools is not tried with the next.

    Raises (when called): ``InputError`` for a model of fewer than four classes, for which the loss is not defined.
    """

    steps: int = 100
    targets: int = 9
    momentum: float = 0.75
    rho: float = 0.75
    early_stop: bool = False
    seed: int = 0
    revision: ClassVar[int] = MOMENTUM_KEPT
    summary: ClassVar[str] = "Auto-PGD towards the likeliest wrong classes, targeted DLR loss; linf, l2"
    labels_only: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.targets < 1:
            raise InputError(f"targets of apgd-t must be 1 or more, got {self.targets}")
        self._schedule()

    def search(self, problem: AttackProblem) -> Tensor:
        """All targets, one after the other. Shape: (B, C, H, W)."""
        best = Best(problem)
        likeliest = self._likeliest(problem)
        for place in range(likeliest.shape[1]):
            rows = problem.rows[~best.successful]
            if not len(rows):
                break
            start = problem.threat.start(problem.clean[rows], draws(problem.ids_of(rows), self.seed, "start", place))
            ascend(problem, best, rows, start, self._schedule(), _TargetedCriteria(likeliest[:, place]))
        return best.images

    @torch.no_grad()
    def _likeliest(self, problem: AttackProblem) -> Tensor:
        logits = problem.answer(problem.clean, problem.rows).logits
        classes = logits.shape[1]
        if classes < 4:
            raise InputError(f"a model under apgd-t must have four classes or more, got {classes}: use apgd")
        wrong = logits.scatter(1, problem.labels[:, None], -torch.inf)
        return wrong.topk(min(self.targets, classes - 1), dim=1).indices

    def _schedule(self) -> Schedule:
        return Schedule(self.steps, self.momentum, self.rho, self.early_stop)
