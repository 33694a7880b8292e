"""What an attack wants of a prediction, image by image. Both wrong labels and more compute are goals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dynvit.interface import Prediction

Measure = Callable[[Prediction, Tensor], Tensor]
"""(prediction, labels) → one number an image. Shape: labels (B,) → (B,)."""


@dataclass(frozen=True)
class Criterion:
    """What is raised, what decides, and how much is enough.

    ``loss`` is what gradient attacks climb; ``score`` what decides which of the images seen is kept, needs no gradient,
    and is what black-box attacks raise; an image whose score is above ``enough`` is won, and attacked no further by
    restarts. None: more is always better. What must not change (a label, say) is a ``score`` of −inf.
    """

    name: str
    loss: Measure
    score: Measure
    enough: float | None = None

    def won(self, score: Tensor) -> Tensor:
        """Which images need no more. Shape: (B,) → (B,), bool."""
        return torch.zeros_like(score, dtype=torch.bool) if self.enough is None else score > self.enough


def cross_entropy(prediction: Prediction, labels: Tensor) -> Tensor:
    """−log of the true class's probability. Shape: (B,)."""
    return F.cross_entropy(prediction.logits, labels, reduction="none")


def margin(prediction: Prediction, labels: Tensor) -> Tensor:
    """The best wrong logit less the true one: above 0 where the answer is wrong; inf for one that is not finite.

    Shape: (B,).
    """
    logits = prediction.logits
    true = logits.gather(1, labels[:, None])
    others = logits.scatter(1, labels[:, None], -torch.inf)
    found = others.amax(1) - true[:, 0]
    return torch.where(torch.isfinite(logits).all(1), found, torch.inf)


MISCLASSIFY = Criterion("misclassify", cross_entropy, margin, enough=0.0)
"""A wrong label, by cross-entropy: the usual attack on accuracy."""


def targeted_dlr(targets: Tensor) -> Criterion:
    """A wrong label by way of one class an image: the targeted difference of logits ratio.

    −(z_y − z_t) / (z_π1 − (z_π3 + z_π4) / 2), π the order of falling logits (Croce & Hein 2020, eq. 8): unlike
    cross-entropy it does not change with the scale of the logits. Shape: ``targets`` (B,), of the rows attacked.
    """

    def loss(prediction: Prediction, labels: Tensor) -> Tensor:
        logits = prediction.logits
        highest = logits.topk(4, dim=1).values
        difference = logits.gather(1, labels[:, None]) - logits.gather(1, targets[:, None])
        scale = highest[:, 0] - (highest[:, 2] + highest[:, 3]) / 2
        return -difference[:, 0] / scale.clamp_min(1e-12)

    return Criterion("targeted-dlr", loss, margin, enough=0.0)
