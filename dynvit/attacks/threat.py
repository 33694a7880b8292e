"""Threat models: a ball of a norm around the clean image, within the box of all images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor

from dynvit.errors import InputError, unknown

Norm = Literal["linf", "l2"]


@dataclass(frozen=True)
class Threat:
    """Every image within ``eps`` of the clean one in ``norm``, and within [0, 1].

    Units: ``eps`` of pixels in [0, 1]; L2 is over all channels and pixels of an image.

    >>> Threat("linf", 4 / 255)
    Threat(norm='linf', eps=0.01568627450980392)

    Raises: ``InputError`` for a norm that there is not, and an eps that is negative or not finite.
    """

    norm: Norm
    eps: float

    def __post_init__(self) -> None:
        if self.norm not in get_args(Norm):
            raise unknown("norm", self.norm, get_args(Norm))
        if not (math.isfinite(self.eps) and self.eps >= 0):
            raise InputError(f"eps is {self.eps:g}: it is a radius, 0 or more, of pixels in [0, 1], 4/255 say")

    def project(self, images: Tensor, clean: Tensor) -> Tensor:
        """Onto the ball, then onto the box: clean images lie in the box, so clipping leaves no ball.

        Shape: (B, C, H, W) both → the same.
        """
        if self.norm == "linf":
            images = torch.minimum(torch.maximum(images, clean - self.eps), clean + self.eps)
        else:
            change = images - clean
            length = _length(change).clamp_min(torch.finfo(images.dtype).tiny)
            images = torch.where(length > self.eps, clean + change * (self.eps / length), images)
        return images.clamp(0, 1)

    def direction(self, gradient: Tensor) -> Tensor:
        """The step of norm 1 that raises a linear function most: the gradient's sign, or the gradient over its length.

        A gradient of zero, or one that is not finite, gives no step. Shape: (B, C, H, W) → the same.
        """
        gradient = torch.nan_to_num(gradient, nan=0.0, posinf=0.0, neginf=0.0)
        if self.norm == "linf":
            return gradient.sign()
        # The largest entry first: squares of small gradients are zero in float32.
        scaled = gradient / gradient.abs().amax((1, 2, 3), keepdim=True).clamp_min(torch.finfo(gradient.dtype).tiny)
        return scaled / _length(scaled).clamp_min(torch.finfo(gradient.dtype).tiny)

    def start(self, clean: Tensor, draws: Sequence[Generator]) -> Tensor:
        """A point drawn evenly from the ball, then clipped to the box; one generator an image.

        Shape: (B, C, H, W) → the same.
        """
        changes = [torch.from_numpy(self._drawn(tuple(clean.shape[1:]), draw)) for draw in draws]
        return self.project(clean + torch.stack(changes).to(clean), clean)

    def unbounded(self, shape: Sequence[int]) -> bool:
        """Whether any image of this shape can be turned into the grey one, so that no two need be told apart.

        >>> Threat("linf", 0.5).unbounded((3, 224, 224)), Threat("l2", 3.0).unbounded((3, 224, 224))
        (True, False)
        """
        return self.eps >= (0.5 if self.norm == "linf" else 0.5 * math.sqrt(math.prod(shape)))

    def distance(self, images: Tensor, clean: Tensor) -> Tensor:
        """How far each image is from the clean one. Shape: (B, C, H, W) both → (B,)."""
        change = images - clean
        return change.flatten(1).abs().amax(1) if self.norm == "linf" else _length(change).flatten()

    def _drawn(self, shape: tuple[int, ...], draw: Generator) -> NDArray[np.float32]:
        if self.norm == "linf":
            return draw.uniform(-self.eps, self.eps, shape).astype(np.float32)
        gaussian = draw.standard_normal(shape)
        # The volume within radius r grows as r^d.
        radius = self.eps * draw.random() ** (1 / math.prod(shape))
        return (gaussian * (radius / math.sqrt((gaussian**2).sum()))).astype(np.float32)


def read_eps(text: str) -> float:
    """A radius as people write it: a number or a fraction.

    >>> read_eps("4/255") == 4 / 255, read_eps("0.5")
    (True, 0.5)

    Raises: ``InputError`` for any other text, and a negative number.
    """
    above, _, below = text.partition("/")
    try:
        eps = float(above) / float(below or 1)
    except (ValueError, ZeroDivisionError):
        raise InputError(f"eps {text!r} is no number: write 4/255 or 0.5") from None
    return Threat("linf", eps).eps


def _length(change: Tensor) -> Tensor:
    return change.flatten(1).norm(dim=1)[:, None, None, None]
