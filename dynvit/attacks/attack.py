"""What an attack is, and attacks by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar

from torch import Tensor

from dynvit.attacks.criterion import MISCLASSIFY, Criterion
from dynvit.attacks.problem import AttackProblem
from dynvit.attacks.radius import check_eps
from dynvit.attacks.threat import Threat
from dynvit.errors import InputError
from dynvit.interface import Prediction
from dynvit.registry import Registry

Answer = Callable[[Tensor, Tensor], Prediction]
"""(images, rows) → prediction. ``rows`` are the images' indices in the batch that the attack was given: an attack drops
images that it has finished, and what is held for each image (gates of the clean pass, say) is found by index.

Shape: images (b, C, H, W), rows (b,) → logits (b, classes). Units: pixels in [0, 1].
"""


class Attack(ABC):
    """A search for images within a threat. Subclasses are frozen dataclasses: their fields are the settings.

    Class attributes: ``summary``, one line for ``dynvit ls``; ``black_box``, whether it needs no gradient;
    ``labels_only``, whether misclassification is the only criterion that it can take; ``revision``, raised where the
    same settings come to give other images, so that results of an older one are not taken for today's. Random numbers
    are drawn for each image (``draws``), from the field ``seed``.
    """

    summary: ClassVar[str] = ""
    revision: ClassVar[int] = 1
    black_box: ClassVar[bool] = False
    labels_only: ClassVar[bool] = False

    @property
    def randomised(self) -> bool:
        """Whether other random numbers give another image. An attack draws them from its field ``seed``, or none."""
        return hasattr(self, "seed")

    def __call__(
        self,
        answer: Answer,
        images: Tensor,
        labels: Tensor,
        ids: Sequence[str],
        threat: Threat,
        criterion: Criterion = MISCLASSIFY,
    ) -> Tensor:
        """Images within the threat, each the best that was found; the clean ones where eps is 0.

        Args:
            answer: what is attacked.
            images: clean images, (B, C, H, W), pixels in [0, 1].
            labels: their classes, (B,).
            ids: their sample ids, B of them, which seed random numbers.
            threat: the norm and the radius.
            criterion: what is sought.

        Returns: (B, C, H, W), pixels in [0, 1].

        Raises: ``InputError`` for pixels outside [0, 1], a radius larger than any two images are apart, a criterion
        that this attack does not take, or an answer without gradient.
        """
        if not images.is_floating_point() or images.amin() < 0 or images.amax() > 1:
            raise InputError("images must be floats in [0, 1]: normalisation belongs inside the model")
        if not len(images) == len(labels) == len(ids):
            raise InputError(
                f"each image must have one label and one id, got {len(images)} images, {len(labels)} labels and "
                f"{len(ids)} ids"
            )
        if self.labels_only and criterion is not MISCLASSIFY:
            raise InputError(
                f"the criterion of {type(self).__name__} must be misclassify, got {criterion.name}: use pgd, apgd or "
                "square"
            )
        check_eps(threat.eps, threat.norm, images.shape[1:])
        clean = images.detach()
        if threat.eps == 0:
            return clean.clone()
        return self.search(AttackProblem(answer, clean, labels, tuple(ids), threat, criterion)).detach()

    @abstractmethod
    def search(self, problem: AttackProblem) -> Tensor:
        """Images within the problem's threat. Shape: (B, C, H, W)."""


attacks: Registry[type[Attack]] = Registry("attack", "dynvit.attacks")
register_attack = attacks.register
