"""What an attack works on: the answer, the clean images, the bound and the goal; and the best image found so far."""

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
    """What one pass told. Shape: ``loss``, ``score`` (b,), ``gradient`` (b, C, H, W) of the loss."""

    loss: Tensor
    score: Tensor
    gradient: Tensor

    def of(self, which: Tensor) -> Evaluation:
        """What was told of some of them. Shape: which (b,), bool."""
        return Evaluation(self.loss[which], self.score[which], self.gradient[which])


@dataclass(frozen=True)
class AttackProblem:
    """What is attacked, with its clean images. Shape: ``clean`` (B, C, H, W), ``labels`` (B,)."""

    answer: Callable[[Tensor, Tensor], Prediction]
    clean: Tensor
    labels: Tensor
    ids: tuple[str, ...]
    threat: Threat
    goal: Criterion

    @property
    def rows(self) -> Tensor:
        """Every image's place. Shape: (B,)."""
        return torch.arange(len(self.clean), device=self.clean.device)

    def ids_of(self, rows: Tensor) -> Sequence[str]:
        """The sample ids of some rows."""
        return [self.ids[row] for row in rows.tolist()]

    def climb(self, images: Tensor, rows: Tensor, goal: Criterion | None = None) -> Evaluation:
        """One pass there and back: the images' losses, scores, and the gradient of each loss by its own image.

        Raises: ``InputError`` where the loss does not depend on the image by any differentiable way.
        """
        goal, labels = goal or self.goal, self.labels[rows]
        with torch.enable_grad():
            images = images.detach().requires_grad_()
            prediction = self.answer(images, rows)
            loss = goal.loss(prediction, labels)
            gradient = torch.autograd.grad(loss.sum(), images, allow_unused=True)[0] if loss.requires_grad else None
        if gradient is None:
            raise InputError(
                f"no gradient of {goal.name} reaches the image: the forward pass is cut by a hard gate or "
                "a detach; pass gates straight through (dynvit.ops.gates), or attack with square"
            )
        with torch.no_grad():
            return Evaluation(loss.detach(), goal.score(prediction, labels).detach(), gradient)

    @torch.no_grad()
    def judge(self, images: Tensor, rows: Tensor, goal: Criterion | None = None) -> Tensor:
        """The scores, by one forward pass. Shape: (b,)."""
        return (goal or self.goal).score(self.answer(images, rows), self.labels[rows])


class Best:
    """The best image seen of each, by score. An image that was never judged is the clean one, with score −inf."""

    def __init__(self, problem: AttackProblem) -> None:
        self.goal = problem.goal
        self.images = problem.clean.clone()
        self.score = torch.full((len(problem.clean),), -torch.inf, device=problem.clean.device)

    def see(self, rows: Tensor, images: Tensor, score: Tensor) -> None:
        """Keep those that are better than what was seen."""
        better = score > self.score[rows]
        self.images[rows[better]] = images[better]
        self.score[rows[better]] = score[better].to(self.score.dtype)

    @property
    def won(self) -> Tensor:
        """Which images have reached the goal. Shape: (B,), bool."""
        return self.goal.won(self.score)


@contextmanager
def frozen_parameters(model: nn.Module) -> Iterator[None]:
    """No parameter asks for a gradient within: an attack needs the image's alone, and memory for nothing else."""
    asked = [parameter for parameter in model.parameters() if parameter.requires_grad]
    try:
        for parameter in asked:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in asked:
            parameter.requires_grad_(True)
