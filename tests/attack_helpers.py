"""A small model that is easily fooled, images with its labels, and its answers as predictions."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor, nn

from dynvit.attacks import Answer
from dynvit.interface import Prediction, Usage

IDS = [f"image-{i}" for i in range(24)]


@cache
def small_model(side: int, classes: int = 6) -> nn.Sequential:
    """Two layers with drawn weights on images of ``side`` pixels."""
    torch.manual_seed(side)
    flat = 8 * (side - 2) ** 2
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.GELU(), nn.Flatten(), nn.Linear(flat, classes)).eval()
    with torch.no_grad():
        model[0].weight.mul_(10)  # strongly nonlinear: on a linear model every attack is optimal
    return model


SMALL = small_model(8)


def small_set() -> tuple[Tensor, Tensor]:
    """Images, and what the small model answers. Shape: (24, 3, 8, 8), (24,)."""
    images = torch.rand(24, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return images, SMALL(images).argmax(1)


def answer_of(model: nn.Module) -> Answer:
    """A static model as an attack sees it."""
    return lambda images, rows: Prediction(model(images), Usage(len(images), ()))
