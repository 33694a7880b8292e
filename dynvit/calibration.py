"""Calibration images as a method solves its budgets on them."""

from __future__ import annotations

import torch

from dynvit.data.pixels import PixelBatches, to_pixels
from dynvit.data.source import ImageSource
from dynvit.data.transforms import Preprocessing
from dynvit.interface import Batch, DynamicModel

CALIBRATION_IMAGES = 256
"""Enough images for a mean cost within a percent; a model that solves its own budgets gets the whole split."""


def calibration_batches(
    model: DynamicModel,
    source: ImageSource,
    preprocessing: Preprocessing,
    classes: int,
    device: torch.device,
    batch_size: int = 64,
) -> list[Batch]:
    """The images on the device, labels one-hot: all of the split for a model that solves its budgets, else a few."""
    if "budgets" not in model.supports:
        source = source.subset(range(min(CALIBRATION_IMAGES, len(source))))
    return [
        Batch(
            to_pixels(batch.images.to(device)),
            batch.labels.to(device),
            torch.nn.functional.one_hot(batch.labels, classes).float().to(device),
        )
        for batch in PixelBatches(source, preprocessing, batch_size=batch_size)
    ]
