"""Adaptive computation time, token by token: scores add up block by block until a token halts.

Graves, arXiv 1603.08983; for the tokens of a ViT, Yin et al., arXiv 2112.07658.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dynvit.ops.precision import at_least_float32
from dynvit.ops.ragged import Ragged


@dataclass(frozen=True)
class Halted:
    """When each token halted, and what each step of the class token weighs.

    Shape: ``steps`` (B, n), int64, from 1 on; ``ponder`` (B, n), steps and remainder, differentiable; ``weights``
    (B, steps), a row adds up to 1; ``scores`` (steps − 1), the mean over all tokens, 0 for one that has halted.
    """

    steps: Tensor
    ponder: Tensor
    weights: Tensor
    scores: Tensor


class Halting:
    """Which tokens of several images still run, as rows, and the mixture of their class tokens' steps.

    A token of scores h¹, h², … halts at the first step N with h¹ + … + hᴺ ≥ 1 − ε, at the latest at the last. Its step
    l < N weighs hˡ, its step N the remainder R = 1 − (h¹ + … + hᴺ⁻¹). Its ponder is N + R.

    >>> halting = Halting(torch.zeros(1, 2, 1), steps=3, epsilon=0.01, together=False)
    >>> for scores in ([0.25, 1.0], [0.5], [0.9]):
    ...     halting.step(halting.rows + 1, torch.tensor(scores))
    >>> halted = halting.halted
    >>> halted.steps.tolist(), halted.ponder.tolist(), halted.weights.tolist(), float(halting.mixed)
    ([[3, 1]], [[3.25, 2.0]], [[0.25, 0.5, 0.25]], 2.0)

    Args:
        tokens: those of each image, the class token first, (B, n, C).
        steps: as many blocks as there are.
        epsilon: ε.
        together: whether an image ends where its class token halts: its others halt at the same step.
        given: what an earlier pass decided, to be repeated.
    """

    def __init__(self, tokens: Tensor, steps: int, epsilon: float, together: bool, given: Halted | None = None) -> None:
        self.images, self.tokens, width = tokens.shape
        self.steps, self.least, self.together, self.given = steps, 1 - epsilon, together, given
        self.rows, self.ragged = tokens.flatten(0, 1), Ragged.whole(self.images, self.tokens, tokens.device)
        self.mixed, self.counts = tokens.new_zeros(self.images, width), [self.ragged.counts]
        self._token = torch.arange(self.images * self.tokens, device=tokens.device)
        self._sum = at_least_float32(tokens.new_zeros(self.images * self.tokens))
        self._steps, self._ponder = torch.zeros_like(self._token), torch.zeros_like(self._sum)
        self._weights, self._scores = self._sum.new_zeros(self.images, steps), list[Tensor]()

    @property
    def halted(self) -> Halted:
        """What was decided, after the last step."""
        shape = self.images, self.tokens
        return Halted(
            self._steps.view(shape),
            self._ponder.view(shape),
            self._weights,
            torch.stack(self._scores[: self.steps - 1]),
        )

    def step(self, rows: Tensor, scores: Tensor) -> None:
        """What a block made of ``rows``, and the score of each; leaves the rows that go on.

        Shape: rows (rows, C), scores (rows,), from 0 to 1.
        """
        done = len(self._scores)
        last, before = done + 1 == self.steps, self._sum
        self._scores.append(scores.sum() / (self.images * self.tokens))
        total = before + scores
        runs = torch.zeros_like(total, dtype=torch.bool) if last else total < self.least
        if self.given is not None:
            runs = self.given.steps.flatten()[self._token] > done + 1
        image, first = self._token // self.tokens, self._token % self.tokens == 0
        if self.together:
            ended = torch.zeros(self.images, dtype=torch.bool, device=rows.device)
            ended[image[first & ~runs]] = True
            runs = runs & ~ended[image]
        self._mix(rows[first], image[first], torch.where(runs, scores, 1 - before)[first], done)
        halts = self._token[~runs]
        self._steps = self._steps.index_fill(0, halts, done + 1)
        self._ponder = self._ponder.index_add(0, halts, done + 2 - before[~runs])
        self._keep(rows, total, runs)

    def _mix(self, rows: Tensor, images: Tensor, weights: Tensor, done: int) -> None:
        """Add the class tokens of some images. Shape: rows (k, C), images and weights (k,)."""
        places = images, torch.full_like(images, done)
        weights = weights if self.given is None else self.given.weights.detach()[places]
        self._weights = self._weights.index_put(places, weights)
        self.mixed = self.mixed.index_add(0, images, (weights.unsqueeze(1) * rows).to(self.mixed.dtype))

    def _keep(self, rows: Tensor, total: Tensor, runs: Tensor) -> None:
        """Go on with some rows; images without any are no part of the layout."""
        going = self._token[runs]
        if len(going) < len(rows):
            rows, total, self._token = rows[runs], total[runs], going
            self.counts.append((going // self.tokens).bincount(minlength=self.images))
            counts = self.counts[-1]
            kept = torch.arange(self.tokens, device=counts.device) < counts[counts > 0].unsqueeze(1)
            self.ragged = Ragged.of(kept) if len(going) else self.ragged
        else:
            self.counts.append(self.counts[-1])
        self.rows, self._sum = rows, total
