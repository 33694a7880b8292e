"""Adaptive computation time, token by token: scores add up block by block until a token halts.

Graves, arXiv 1603.08983; for the tokens of a ViT, Yin et al., arXiv 2112.07658.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dynvit.ops.ragged import Ragged


class Halting:
    """Which tokens of several images still run, and what each step of theirs weighs.

    A token of scores h¹, h², … halts at the first step N with h¹ + … + hᴺ ≥ 1 − ε. Its step l < N weighs hˡ, the last
    one the remainder R = 1 − (h¹ + … + hᴺ⁻¹): its weights add up to 1. Its ponder is N + R. With ``together`` an image
    ends where its first token halts: its others halt at the same step.

    Shape: ``rows``, the numbers, among the B·N tokens, of those that run, image by image.

    >>> halting = Halting(1, 2, torch.zeros(()))
    >>> [halting.step(torch.tensor(h), 0.01)[0].tolist() for h in ([0.25, 1.0], [0.5], [0.5])]
    [[0.25, 1.0], [0.5], [0.25]]
    >>> halting.steps.tolist(), halting.ponder.tolist(), len(halting.rows)
    ([[3, 1]], [[3.25, 2.0]], 0)
    """

    def __init__(self, images: int, tokens: int, like: Tensor, together: bool = False) -> None:
        self.images, self.tokens, self.together, self.done = images, tokens, together, 0
        self.rows = torch.arange(images * tokens, device=like.device)
        self._score = like.new_zeros(images * tokens)
        self._steps, self._ponder = torch.zeros_like(self.rows), torch.zeros_like(self._score)

    @property
    def steps(self) -> Tensor:
        """N of each token that halted, 0 of those that run. Shape: (B, N), int64."""
        return self._steps.view(self.images, self.tokens)

    @property
    def ponder(self) -> Tensor:
        """N + R of each token that halted, differentiable in its scores; 0 of those that run. Shape: (B, N)."""
        return self._ponder.view(self.images, self.tokens)

    @property
    def owners(self) -> Tensor:
        """The image of each row. Shape: (rows,), int64."""
        return self.rows // self.tokens

    @property
    def first(self) -> Tensor:
        """Which rows are their image's first token, the class token. Shape: (rows,), bool."""
        return self.rows % self.tokens == 0

    def step(self, scores: Tensor, epsilon: float, given: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """One more step of the tokens that run.

        ``given``, the steps of an earlier pass, decides in place of the scores.

        Shape: scores (rows,), given (B, N) → weights (rows,), and which rows go on, bool.
        """
        self.done += 1
        remainder, total = 1 - self._score, self._score + scores
        running = total < 1 - epsilon if given is None else given.flatten()[self.rows] > self.done
        if self.together:
            ended = torch.zeros(self.images, dtype=torch.bool, device=running.device)
            ended[self.owners[self.first & ~running]] = True
            running = running & ~ended[self.owners]
        halted = self.rows[~running]
        self._steps = self._steps.index_fill(0, halted, self.done)
        self._ponder = self._ponder.index_add(0, halted, self.done + remainder[~running])
        self._score, self.rows = total[running], self.rows[running]
        return torch.where(running, scores, remainder), running

    def counts(self) -> Tensor:
        """Tokens of each image that run. Shape: (B,), int64."""
        return self.owners.bincount(minlength=self.images)

    def ragged(self) -> Ragged:
        """The layout of the rows, without the images that have none."""
        counts = self.counts()
        return Ragged.of(torch.arange(self.tokens, device=counts.device) < counts[counts > 0].unsqueeze(1))
