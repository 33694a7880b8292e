"""What an attack seeks in a prediction, image by image: a wrong label, or more compute."""

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
    """What an attack maximises, and when it has succeeded.

    Gradient attacks maximise ``loss``. ``score`` needs no gradient: black-box attacks maximise it, and of the images
    tried the one of the highest score is kept. An image whose score exceeds ``enough`` is successful, and attacked no
    further by restarts; with None a higher score is always better. A constraint (the label must not change, say) is a
    score of −inf.
    """

    name: str
    loss: Measure
    score: Measure
    enough: float | None = None

    def met(self, score: Tensor) -> Tensor:
        """Which scores are enough. Shape: (B,) → (B,), bool."""
        return torch.zeros_like(score, dtype=torch.bool) if self.enough is None else score > self.enough


def cross_entropy(prediction: Prediction, labels: Tensor) -> Tensor:
    """−log of the true class's probability. Shape: labels (B,) → (B,)."""
    return F.cross_entropy(prediction.logits, labels, reduction="none")


def margin(prediction: Prediction, labels: Tensor) -> Tensor:
    """The highest wrong logit minus the true one: above 0 where misclassified; inf where a logit is not finite.

    Shape: labels (B,) → (B,).
    """
    logits = prediction.logits
    true = logits.gather(1, labels[:, None])
    others = logits.scatter(1, labels[:, None], -torch.inf)
    found = others.amax(1) - true[:, 0]
    return torch.where(torch.isfinite(logits).all(1), found, torch.inf)


MISCLASSIFY = Criterion("misclassify", cross_entropy, margin, enough=0.0)
"""A wrong label, by cross-entropy: the usual attack on accuracy."""


def targeted_dlr(targets: Tensor) -> Criterion:
    """A wrong label, towards one target class for each image: the targeted difference of logits ratio.

    −(z_y − z_t) / (z_π1 − (z_π3 + z_π4) / 2), π sorts logits in descending order (Croce & Hein 2020, eq. 8): unlike
    cross-entropy it is invariant to the scale of the logits. Shape: ``targets`` (b,), of the rows attacked.
    """

    def loss(prediction: Prediction, labels: Tensor) -> Tensor:
        logits = prediction.logits
        highest = logits.topk(4, dim=1).values
        difference = logits.gather(1, labels[:, None]) - logits.gather(1, targets[:, None])
        scale = highest[:, 0] - (highest[:, 2] + highest[:, 3]) / 2
        return -difference[:, 0] / scale.clamp_min(1e-12)

    return Criterion("targeted-dlr", loss, margin, enough=0.0)
