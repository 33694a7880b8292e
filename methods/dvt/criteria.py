"""Exit criteria: a score in [0, 1] that is compared with the exit's threshold.

A criterion of your own is a function, registered by name::

    from dynvit_methods.dvt.criteria import criteria

    @criteria.register("margin")
    def margin(logits, images):
        top = logits[-1].softmax(-1).topk(2).values
        return top[:, 0] - top[:, 1]
"""

from __future__ import annotations

import math
import zlib
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from dynvit.exits.model import BELOW_ONE
from dynvit.registry import Registry


class Criterion(Protocol):
    """How confident the latest exit is."""

    def __call__(self, logits: Tensor, images: Tensor) -> Tensor:
        """Shape: logits (exits so far, B, classes), images (B, 3, H, W) → scores (B,) in [0, 1]."""
        ...


criteria: Registry[Criterion] = Registry("DVT criterion", "dynvit.dvt_criteria")


@criteria.register("confidence")
def confidence(logits: Tensor, images: Tensor) -> Tensor:
    """The largest softmax probability (§3.2).

    >>> confidence(torch.zeros(1, 2, 4), torch.zeros(2, 3, 1, 1))
    tensor([0.2500, 0.2500])
    """
    return logits[-1].softmax(-1).amax(-1)


@criteria.register("entropy")
def entropy(logits: Tensor, images: Tensor) -> Tensor:
    """One minus the softmax's entropy over its largest possible value."""
    logs = logits[-1].log_softmax(-1)
    return 1 + (logs.exp() * logs).sum(-1) / math.log(max(2, logs.shape[-1]))


@criteria.register("random")
def random(logits: Tensor, images: Tensor) -> Tensor:
    """The control: a random number, seeded by the image's pixels and the exit, so independent of the batch."""
    pixels = images.detach().float().cpu().contiguous().numpy()
    # A checksum alone is not enough: another start value only flips bits of it, and the exits would be correlated.
    draws = [np.random.default_rng((zlib.crc32(image.tobytes()), len(logits))).random() for image in pixels]
    return torch.tensor(draws, dtype=logits.dtype, device=logits.device)


@criteria.register("patience")
def patience(logits: Tensor, images: Tensor) -> Tensor:
    """The fraction of earlier exits that agree with this one, counted back to the first that does not (PABEE).

    The first exit has no earlier one and scores 0.
    """
    answers = logits.argmax(-1)
    agree = (answers[:-1] == answers[-1]).flip(0).long().cumprod(0).sum(0)
    return agree.to(logits.dtype) / max(1, len(answers) - 1)


def differentiable(criterion: Criterion, classes: int) -> bool:
    """Whether a criterion's scores have a gradient in the logits."""
    with torch.inference_mode(False), torch.enable_grad():
        return criterion(torch.zeros(1, 1, classes, requires_grad=True), torch.zeros(1, 3, 1, 1)).requires_grad


def leaves(scores: Tensor, threshold: Tensor) -> Tensor:
    """Whether each image leaves; with a threshold of 1 none does, whatever its score.

    Shape: scores (B,), threshold () or (P, 1) → (B,) or (P, B).
    """
    return (scores >= threshold) & (threshold < 1)


def bounded(scores: Tensor) -> Tensor:
    """Scores below 1, so that some threshold below 1 lets the most confident image leave."""
    return scores.clamp(0, BELOW_ONE)
