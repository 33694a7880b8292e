"""Calibration images: the same, and as many, for every method that is set to a budget."""

from __future__ import annotations

import torch

from dynvit.data.opening import drawn
from dynvit.data.pixels import PixelBatches, to_pixels
from dynvit.data.source import ImageSource
from dynvit.data.transforms import Preprocessing
from dynvit.interface import Batch

CALIBRATION_IMAGES = 1024
"""Images of the calibration split that budgets are solved on, at most; of fewer all.

The mean cost of a cascade, which varies most from image to image, is known to 2 % from as many, and a solver that runs
the model at dozens of points takes no longer than the sweep that follows.
"""


def calibration_batches(
    source: ImageSource,
    preprocessing: Preprocessing,
    classes: int,
    device: torch.device,
    *,
    seed: int,
    batch_size: int = 64,
) -> list[Batch]:
    """The images on the device, labels one-hot: a fair draw of the split.

    Args:
        source: the calibration split.
        preprocessing: the model's.
        classes: that it answers with.
        device: where the images go.
        seed: the data seed, which draws them.
        batch_size: images a batch.

    Returns: the same images for every model.
    """
    return [
        Batch(
            to_pixels(batch.images.to(device)),
            batch.labels.to(device),
            torch.nn.functional.one_hot(batch.labels, classes).float().to(device),
        )
        for batch in PixelBatches(drawn(source, CALIBRATION_IMAGES, seed), preprocessing, batch_size=batch_size)
    ]
