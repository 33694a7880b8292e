"""What an attack is, and attacks by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar

from torch import Tensor

from dynvit.attacks.criterion import MISCLASSIFY, Criterion
from dynvit.attacks.problem import AttackProblem
from dynvit.attacks.threat import Threat
from dynvit.errors import InputError
from dynvit.interface import Prediction
from dynvit.registry import Registry

Answer = Callable[[Tensor, Tensor], Prediction]
"""(images, rows) → prediction; ``rows`` are the images' places in the batch that the attack was given: an attack leaves
out images that it has done with, and whoever holds something for each image (gates of the clean pass) looks it up.

Shape: images (b, C, H, W), rows (b,) → logits (b, classes). Units: pixels in [0, 1].
"""


class Attack(ABC):
    """A way to look for images within a threat. Subclasses are frozen dataclasses: their fields are the settings.

    Class attributes: ``summary``, one line for ``dynvit ls``; ``black_box``, whether it sees answers only and asks for
    no gradient; ``labels_only``, whether it can only want a wrong label.
    Settings that are drawn by chance are drawn by image (``draws``), from the field ``seed``.
    """

    summary: ClassVar[str] = ""
    black_box: ClassVar[bool] = False
    labels_only: ClassVar[bool] = False

    def __call__(
        self,
        answer: Answer,
        images: Tensor,
        labels: Tensor,
        ids: Sequence[str],
        threat: Threat,
        goal: Criterion = MISCLASSIFY,
    ) -> Tensor:
        """Images within the threat, each the best that was found; the clean ones where eps is 0.

        Shape: images (B, C, H, W), labels (B,), ids of B → (B, C, H, W). Units: pixels in [0, 1].
        Raises: ``InputError`` for pixels out of [0, 1], a goal that this attack cannot want, or an answer without
        gradient.
        """
        if not images.is_floating_point() or images.amin() < 0 or images.amax() > 1:
            raise InputError("an attack takes images as floats in [0, 1]: normalisation belongs inside the model")
        if not len(images) == len(labels) == len(ids):
            raise InputError(
                f"an attack takes one label and one id an image: {len(images)} images are given, "
                f"{len(labels)} labels, {len(ids)} ids"
            )
        if self.labels_only and goal is not MISCLASSIFY:
            raise InputError(
                f"attack {type(self).__name__} wants a wrong label, not {goal.name}: use pgd, apgd or square"
            )
        clean = images.detach()
        if threat.eps == 0:
            return clean.clone()
        return self.search(AttackProblem(answer, clean, labels, tuple(ids), threat, goal)).detach()

    @abstractmethod
    def search(self, problem: AttackProblem) -> Tensor:
        """Images within the problem's threat. Shape: (B, C, H, W)."""


attacks: Registry[type[Attack]] = Registry("attack", "dynvit.attacks")
register_attack = attacks.register
