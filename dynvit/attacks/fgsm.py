"""The fast gradient method: one step of the whole radius."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from dynvit.attacks.attack import Attack
from dynvit.attacks.problem import AttackProblem


@dataclass(frozen=True)
class FGSM(Attack):
    """x + ε·sign(∇L) under L∞ (Goodfellow et al. 2015, arXiv 1412.6572), x + ε·∇L/‖∇L‖₂ under L2.

    Optimal where the loss is linear and no pixel reaches 0 or 1. Deterministic, without settings.
    """

    summary: ClassVar[str] = "fast gradient (sign) method, one step; linf, l2"

    def search(self, problem: AttackProblem) -> Tensor:
        """One forward and backward pass. Shape: (B, C, H, W)."""
        threat, clean = problem.threat, problem.clean
        gradient = problem.evaluate(clean, problem.rows).gradient
        return threat.project(clean + threat.eps * threat.direction(gradient), clean)
