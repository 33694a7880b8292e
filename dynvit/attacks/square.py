"""Square attack: random search over square windows, without gradients.

Andriushchenko et al. 2020 (arXiv 1912.00049), algorithm 1; ``square_draws`` has the sampling for each norm.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from dynvit.attacks.attack import Attack
from dynvit.attacks.draws import draws
from dynvit.attacks.problem import AttackProblem, Best
from dynvit.attacks.square_draws import L2Squares, LinfSquares
from dynvit.errors import InputError

HALVED_AT = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
"""The queries of 10,000 after which the window's area is halved; scaled to other totals, as in AutoAttack."""


@dataclass(frozen=True)
class Square(Attack):
    """One window at a time is changed, and the change is kept where the criterion's score rises.

    ``queries``: at most this many forward passes an image, the start included; a successful image needs no more.
    ``area``: the fraction of the image that the first windows cover (0.8 is AutoAttack's; the paper has 0.05 under L∞
    and 0.1 under L2 on ImageNet).
    """

    queries: int = 5000
    area: float = 0.8
    seed: int = 0
    summary: ClassVar[str] = "Square attack, black box: random search by windows; linf, l2"
    black_box: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.queries < 1:
            raise InputError(f"queries of square must be 1 or more, got {self.queries}")
        if not 0 < self.area <= 1:
            raise InputError(f"area of square must be a fraction of the image in (0, 1], got {self.area:g}")

    def side(self, query: int, height: int, width: int) -> int:
        """Side of the window at a query. Units: pixels.

        >>> [Square(queries=10_000).side(query, 224, 224) for query in (1, 100, 9999)]
        [200, 100, 9]
        """
        halvings = bisect_left(HALVED_AT, query * 10_000 / self.queries)
        return max(1, min(round(math.sqrt(self.area / 2**halvings * height * width)), height - 1, width - 1))

    def search(self, problem: AttackProblem) -> Tensor:
        """Until all images are successful, or the queries are used up. Shape: (B, C, H, W)."""
        best = Best(problem)
        squares = (LinfSquares if problem.threat.norm == "linf" else L2Squares)(problem.threat)
        generators = draws(problem.ids, self.seed, "square")
        height, width = problem.clean.shape[2:]
        images = torch.stack([squares.start(*pair) for pair in zip(problem.clean, generators, strict=True)])
        best.update(problem.rows, images, problem.score(images, problem.rows))
        for query in range(1, self.queries):
            rows = problem.rows[~best.successful]
            if not len(rows):
                break
            side = self.side(query, height, width)
            images = torch.stack(
                [squares.propose(best.images[row], problem.clean[row], side, generators[row]) for row in rows.tolist()]
            )
            images = problem.threat.project(images, problem.clean[rows])
            best.update(rows, images, problem.score(images, rows))
        return best.images
