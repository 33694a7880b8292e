"""Projected gradient ascent within the ball."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from dynvit.attacks.attack import Attack
from dynvit.attacks.draws import draws
from dynvit.attacks.problem import AttackProblem, Best
from dynvit.errors import InputError


@dataclass(frozen=True)
class PGD(Attack):
    """x ← P(x + α·d(∇L)), P onto ball and box, d the steepest direction of the norm (Madry et al. 2018, 1706.06083).

    ``steps`` passes there and back for each of ``restarts`` starts, drawn evenly from the ball (``random_start``;
    without it one start, the clean image). ``step_size`` is α as a share of ε; None: 2.5/steps, with which any point of
    the ball is reached from any other (ibid., §C).

    ``keep``: "best" keeps of every image seen on the way the one of the highest score, so an image once won stays won;
    "last" is the textbook's. The last image is judged by a forward pass of its own only where that can change what is
    kept: with several starts, or with a goal that is never reached. Images won are not started again;
    ``early_stop`` drops them at once, which saves passes and leaves their margin small.
    """

    steps: int = 20
    step_size: float | None = None
    restarts: int = 1
    random_start: bool = True
    keep: Literal["best", "last"] = "best"
    early_stop: bool = False
    seed: int = 0
    summary: ClassVar[str] = "projected gradient ascent with random starts; linf, l2"

    def __post_init__(self) -> None:
        if self.steps < 1 or self.restarts < 1:
            raise InputError(f"pgd takes 1 step and 1 start at least: steps={self.steps}, restarts={self.restarts}")
        if self.step_size is not None and not self.step_size > 0:
            raise InputError(f"pgd's step_size={self.step_size:g} is a share of eps, above 0; none is 2.5/steps")
        if self.restarts > 1 and not self.random_start:
            raise InputError("pgd without random_start has one start: leave out restarts")
        if self.keep == "last" and (self.restarts > 1 or self.early_stop):
            raise InputError("pgd with keep=last has one start and runs to its end: leave out restarts and early_stop")

    def search(self, problem: AttackProblem) -> Tensor:
        """All starts, one after the other. Shape: (B, C, H, W)."""
        best, rows = Best(problem), problem.rows
        for restart in range(self.restarts):
            rows = rows[~best.won[rows]]
            if len(rows):
                self._ascend(problem, best, rows, restart)
        return best.images

    def _ascend(self, problem: AttackProblem, best: Best, rows: Tensor, restart: int) -> None:
        threat, clean = problem.threat, problem.clean[rows]
        images, size = clean, threat.eps * (self.step_size or 2.5 / self.steps)
        if self.random_start:
            images = threat.start(clean, draws(problem.ids_of(rows), self.seed, "start", restart))
        for _ in range(self.steps):
            look = problem.climb(images, rows)
            if self.keep == "best":
                best.see(rows, images, look.score)
            if self.early_stop and (left := ~problem.goal.won(look.score)).sum() < len(rows):
                rows, clean, images, look = rows[left], clean[left], images[left], look.of(left)
                if not len(rows):
                    return
            images = threat.project(images + size * threat.direction(look.gradient), clean)
        if self.keep == "best" and (self.restarts > 1 or problem.goal.enough is None):
            best.see(rows, images, problem.judge(images, rows))
            return
        lost = ~best.won[rows] | (self.keep == "last")
        best.images[rows[lost]] = images[lost]
