"""Square attack: random search that asks for answers only, and changes square windows.

Andriushchenko et al. 2020 (arXiv 1912.00049), algorithm 1; what is drawn in each norm is in ``square_draws``.
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
"""After which queries the window's area is halved, in one of 10,000; a shorter one is scaled (as in AutoAttack)."""


@dataclass(frozen=True)
class Square(Attack):
    """A window at a time is changed, and the change kept where the goal's score rises.

    ``queries`` forward passes an image at most, the first point's included; an image that is won asks no more.
    ``area``: the share of the image that the first windows cover (0.8 is AutoAttack's; the paper has 0.05 under L∞
    and 0.1 under L2 on ImageNet).
    """

    queries: int = 5000
    area: float = 0.8
    seed: int = 0
    summary: ClassVar[str] = "Square attack, black box: random search by windows; linf, l2"
    black_box: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.queries < 1:
            raise InputError(f"square takes 1 query at least: queries={self.queries}")
        if not 0 < self.area <= 1:
            raise InputError(f"square's area={self.area:g} is a share of the image, above 0 and at most 1")

    def side(self, query: int, height: int, width: int) -> int:
        """The window's edge at a query. Units: pixels.

        >>> [Square(queries=10_000).side(query, 224, 224) for query in (1, 100, 9999)]
        [200, 100, 9]
        """
        halvings = bisect_left(HALVED_AT, query * 10_000 / self.queries)
        return max(1, min(round(math.sqrt(self.area / 2**halvings * height * width)), height - 1, width - 1))

    def search(self, problem: AttackProblem) -> Tensor:
        """Until all are won, or the queries are spent. Shape: (B, C, H, W)."""
        best = Best(problem)
        squares = (LinfSquares if problem.threat.norm == "linf" else L2Squares)(problem.threat)
        streams = draws(problem.ids, self.seed, "square")
        height, width = problem.clean.shape[2:]
        images = torch.stack([squares.begin(*pair) for pair in zip(problem.clean, streams, strict=True)])
        best.see(problem.rows, images, problem.judge(images, problem.rows))
        for query in range(1, self.queries):
            rows = problem.rows[~best.won]
            if not len(rows):
                break
            side = self.side(query, height, width)
            images = torch.stack(
                [squares.propose(best.images[row], problem.clean[row], side, streams[row]) for row in rows.tolist()]
            )
            images = problem.threat.project(images, problem.clean[rows])
            best.see(rows, images, problem.judge(images, rows))
        return best.images
