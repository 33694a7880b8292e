"""Calibration images: the same, and as many, for every method that is set to a budget."""

from __future__ import annotations

import torch
from torch import Tensor

from dynvit.data.opening import drawn
from dynvit.data.pixels import PixelBatches, to_pixels
from dynvit.data.source import ImageSource
from dynvit.data.training import TrainingBatches
from dynvit.data.transforms import Preprocessing
from dynvit.interface import Augment, Batch

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
    augment: Augment | None = None,
) -> list[Batch]:
    """The images on the device, labels one-hot: a fair draw of the split.

    Args:
        source: the calibration split.
        preprocessing: the model's.
        classes: that it answers with.
        device: where the images go.
        seed: the data seed, which draws them.
        batch_size: images a batch.
        augment: for a model that has learned these images; None: the images as they are.

    Returns: the same images for every model.
    """
    few = drawn(source, CALIBRATION_IMAGES, seed)
    if augment is not None:
        size = min(batch_size, len(few))
        changed = TrainingBatches(few, preprocessing, augment, batch_size=size, seed=seed, drop_last=False)
        return [_labelled(images, labels, classes, device) for images, labels in changed.epoch(0)]
    found = PixelBatches(few, preprocessing, batch_size=batch_size)
    return [_labelled(to_pixels(batch.images.to(device)), batch.labels, classes, device) for batch in found]


def _labelled(images: Tensor, labels: Tensor, classes: int, device: torch.device) -> Batch:
    targets = torch.nn.functional.one_hot(labels, classes).float()
    return Batch(images.to(device), labels.to(device), targets.to(device))
