"""What an attack solves: a model, clean images, a threat and a criterion; and the best images found so far."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dynvit.attacks.criterion import Criterion
from dynvit.attacks.threat import Threat
from dynvit.errors import InputError
from dynvit.interface import Prediction


@dataclass(frozen=True)
class Evaluation:
    """One forward and backward pass. Shape: ``loss``, ``score`` (b,); ``gradient`` of the loss (b, C, H, W)."""

    loss: Tensor
    score: Tensor
    gradient: Tensor

    def of(self, which: Tensor) -> Evaluation:
        """The evaluation of some of the images. Shape: which (b,), bool."""
        return Evaluation(self.loss[which], self.score[which], self.gradient[which])


@dataclass(frozen=True)
class AttackProblem:
    """What is attacked, with its clean images and their sample ids.

    Shape: ``clean`` (B, C, H, W), ``labels`` (B,). Units: pixels in [0, 1].
    """

    answer: Callable[[Tensor, Tensor], Prediction]
    clean: Tensor
    labels: Tensor
    ids: tuple[str, ...]
    threat: Threat
    criterion: Criterion

    @property
    def rows(self) -> Tensor:
        """The index of every image. Shape: (B,)."""
        return torch.arange(len(self.clean), device=self.clean.device)

    def ids_of(self, rows: Tensor) -> Sequence[str]:
        """The sample ids of some rows. Shape: rows (b,)."""
        return [self.ids[row] for row in rows.tolist()]

    def evaluate(self, images: Tensor, rows: Tensor, criterion: Criterion | None = None) -> Evaluation:
        """One forward and backward pass: each image's loss, score, and gradient of its loss.

        Shape: images (b, C, H, W), rows (b,), the images' indices. ``criterion``: instead of the problem's own.
        Raises: ``InputError`` where no gradient of the loss reaches the image.
        """
        criterion, labels = criterion or self.criterion, self.labels[rows]
        with torch.enable_grad():
            images = images.detach().requires_grad_()
            prediction = self.answer(images, rows)
            loss = criterion.loss(prediction, labels)
            gradient = torch.autograd.grad(loss.sum(), images, allow_unused=True)[0] if loss.requires_grad else None
        if gradient is None:
            raise InputError(
                f"no gradient of {criterion.name} reaches the image: a hard gate or a detach cuts the "
                "forward pass; pass gates straight through (dynvit.ops.gates), or attack with square"
            )
        with torch.no_grad():
            return Evaluation(loss.detach(), criterion.score(prediction, labels).detach(), gradient)

    @torch.no_grad()
    def score(self, images: Tensor, rows: Tensor, criterion: Criterion | None = None) -> Tensor:
        """Each image's score, by one forward pass. Shape: images (b, C, H, W), rows (b,) → (b,)."""
        return (criterion or self.criterion).score(self.answer(images, rows), self.labels[rows])


class Best:
    """For each clean image the image of the highest score so far: at first the clean one, with score −inf."""

    def __init__(self, problem: AttackProblem) -> None:
        self.criterion = problem.criterion
        self.images = problem.clean.clone()
        self.score = torch.full(
            (len(problem.clean),), -torch.inf, device=problem.clean.device, dtype=problem.clean.dtype
        )

    def update(self, rows: Tensor, images: Tensor, score: Tensor) -> None:
        """Keep the images that score higher than the best so far. Shape: rows, score (b,), images (b, C, H, W)."""
        better = score > self.score[rows]
        self.images[rows[better]] = images[better]
        self.score[rows[better]] = score[better].to(self.score.dtype)

    @property
    def successful(self) -> Tensor:
        """Which images meet the criterion. Shape: (B,), bool."""
        return self.criterion.met(self.score)


@contextmanager
def frozen_parameters(model: nn.Module) -> Iterator[None]:
    """Parameters need no gradient within: an attack needs that of the images only, and saves the memory."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    try:
        for parameter in trained:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)
