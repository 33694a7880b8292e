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

    Each of ``restarts`` starts takes ``steps`` forward and backward passes, from a point drawn uniformly from the ball
    (``random_start``; without it from the clean image, once). ``step_size`` is α as a fraction of ε; None: 2.5/steps,
    with which any point of the ball can be reached from any other (ibid., §C).

    ``keep``: "best" keeps the image of the highest score of all steps, "last" the last one, as in the paper. The last
    image is scored, by one more forward pass, only where that can change what is kept: with several starts, or with a
    criterion that is never met. Successful images are not restarted; ``early_stop`` drops them at once, which saves
    passes and leaves their margin small.
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
            raise InputError(f"steps and restarts of pgd must be 1 or more, got {self.steps} and {self.restarts}")
        if self.step_size is not None and not self.step_size > 0:
            raise InputError(f"step_size of pgd must be a fraction of eps above 0, got {self.step_size:g}")
        if self.restarts > 1 and not self.random_start:
            raise InputError(f"restarts of pgd must be 1 without random_start, got {self.restarts}")
        if self.keep == "last" and (self.restarts > 1 or self.early_stop):
            raise InputError("pgd with keep=last must have neither restarts nor early_stop")

    @property
    def randomised(self) -> bool:
        """Only its start is random."""
        return self.random_start

    def search(self, problem: AttackProblem) -> Tensor:
        """All starts, one after the other. Shape: (B, C, H, W)."""
        best, rows = Best(problem), problem.rows
        for restart in range(self.restarts):
            rows = rows[~best.successful[rows]]
            if len(rows):
                self._ascend(problem, best, rows, restart)
        return best.images

    def _ascend(self, problem: AttackProblem, best: Best, rows: Tensor, restart: int) -> None:
        threat, clean = problem.threat, problem.clean[rows]
        images, size = clean, threat.eps * (self.step_size or 2.5 / self.steps)
        if self.random_start:
            images = threat.start(clean, draws(problem.ids_of(rows), self.seed, "start", restart))
        for _ in range(self.steps):
            evaluation = problem.evaluate(images, rows)
            if self.keep == "best":
                best.update(rows, images, evaluation.score)
            if self.early_stop and (left := ~problem.criterion.met(evaluation.score)).sum() < len(rows):
                rows, clean, images, evaluation = rows[left], clean[left], images[left], evaluation.of(left)
                if not len(rows):
                    return
            images = threat.project(images + size * threat.direction(evaluation.gradient), clean)
        if self.keep == "best" and (self.restarts > 1 or problem.criterion.enough is None):
            best.update(rows, images, problem.score(images, rows))
            return
        replaced = ~best.successful[rows] | (self.keep == "last")
        best.images[rows[replaced]] = images[replaced]
