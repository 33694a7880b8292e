"""Threat models: a ball of a norm around the clean image, within the box of all images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor

from dynvit.attacks.radius import Norm, check_eps, check_norm


@dataclass(frozen=True)
class Threat:
    """Every image within ``eps`` of the clean one in ``norm``, and within [0, 1].

    Units: ``eps`` of pixels in [0, 1]; L2 is over all channels and pixels of an image.

    >>> Threat("linf", 4 / 255)
    Threat(norm='linf', eps=0.01568627450980392)

    Raises: ``InputError`` for an unknown norm, and an eps that is negative, not finite, or above 1 under L∞.
    """

    norm: Norm
    eps: float

    def __post_init__(self) -> None:
        check_norm(self.norm)
        check_eps(self.eps, self.norm)

    def project(self, images: Tensor, clean: Tensor) -> Tensor:
        """Onto the ball, then onto the box. Clean images lie in the box, so that clipping stays in the ball.

        Shape: images, clean (B, C, H, W) → the same.
        """
        if self.norm == "linf":
            images = torch.minimum(torch.maximum(images, clean - self.eps), clean + self.eps)
        else:
            change = images - clean
            norms = _norms(change).clamp_min(torch.finfo(images.dtype).tiny)
            images = torch.where(norms > self.eps, clean + change * (self.eps / norms), images)
        return images.clamp(0, 1)

    def direction(self, gradient: Tensor) -> Tensor:
        """The steepest direction of norm 1: the gradient's sign, or the gradient over its norm.

        A gradient that is zero or not finite gives zero. Shape: (B, C, H, W) → the same.
        """
        gradient = torch.nan_to_num(gradient, nan=0.0, posinf=0.0, neginf=0.0)
        if self.norm == "linf":
            return gradient.sign()
        # Scaled by the largest entry first: squares of small gradients are zero in float32.
        scaled = gradient / gradient.abs().amax((1, 2, 3), keepdim=True).clamp_min(torch.finfo(gradient.dtype).tiny)
        return scaled / _norms(scaled).clamp_min(torch.finfo(gradient.dtype).tiny)

    def start(self, clean: Tensor, draws: Sequence[Generator]) -> Tensor:
        """A point drawn uniformly from the ball, then clipped to the box, with one generator an image.

        Shape: (B, C, H, W) → the same.
        """
        changes = [torch.from_numpy(self._sample(tuple(clean.shape[1:]), draw)) for draw in draws]
        return self.project(clean + torch.stack(changes).to(clean), clean)

    def unbounded(self, shape: Sequence[int]) -> bool:
        """Whether the ball of any image of this shape contains the grey image, so that no accuracy need be left.

        >>> Threat("linf", 0.5).unbounded((3, 224, 224)), Threat("l2", 3.0).unbounded((3, 224, 224))
        (True, False)
        """
        return self.eps >= (0.5 if self.norm == "linf" else 0.5 * math.sqrt(math.prod(shape)))

    def distance(self, images: Tensor, clean: Tensor) -> Tensor:
        """Distance of each image from the clean one. Shape: images, clean (B, C, H, W) → (B,)."""
        change = images - clean
        return change.flatten(1).abs().amax(1) if self.norm == "linf" else _norms(change).flatten()

    def _sample(self, shape: tuple[int, ...], draw: Generator) -> NDArray[np.float32]:
        if self.norm == "linf":
            return draw.uniform(-self.eps, self.eps, shape).astype(np.float32)
        gaussian = draw.standard_normal(shape)
        # The volume within radius r grows as r^d.
        radius = self.eps * draw.random() ** (1 / math.prod(shape))
        return (gaussian * (radius / math.sqrt((gaussian**2).sum()))).astype(np.float32)


def _norms(change: Tensor) -> Tensor:
    return change.flatten(1).norm(dim=1)[:, None, None, None]
