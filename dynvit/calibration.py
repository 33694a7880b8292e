"""Calibration images as a method solves its budgets on them."""

from __future__ import annotations

import torch
from torch import Tensor

from dynvit.data.pixels import PixelBatches, to_pixels
from dynvit.data.source import ImageSource
from dynvit.data.training import TrainingBatches
from dynvit.data.transforms import Preprocessing
from dynvit.interface import Augment, Batch, DynamicModel

CALIBRATION_IMAGES = 256
"""Enough images for a mean cost within a percent; a model that solves its own budgets gets the whole split."""


def calibration_batches(
    model: DynamicModel,
    source: ImageSource,
    preprocessing: Preprocessing,
    classes: int,
    device: torch.device,
    batch_size: int = 64,
    augment: Augment | None = None,
    seed: int = 0,
) -> list[Batch]:
    """The images on the device, labels one-hot: all of the split for a model that solves its budgets, else a few.

    Args:
        model: what is to be set to budgets.
        source: the split.
        preprocessing: the model's.
        classes: of the labels.
        device: where the images go.
        batch_size: images a batch.
        augment: for a model that has learned these images, drawn by ``seed``; None: the images as they are.
        seed: of the augmentation, the data seed.
    """
    if "budgets" not in model.supports:
        source = source.subset(range(min(CALIBRATION_IMAGES, len(source))))
    if augment is not None:
        drawn = TrainingBatches(
            source, preprocessing, augment, batch_size=min(batch_size, len(source)), seed=seed, drop_last=False
        )
        return [_labelled(images, labels, classes, device) for images, labels in drawn.epoch(0)]
    found = PixelBatches(source, preprocessing, batch_size=batch_size)
    return [_labelled(to_pixels(batch.images.to(device)), batch.labels, classes, device) for batch in found]


def _labelled(images: Tensor, labels: Tensor, classes: int, device: torch.device) -> Batch:
    targets = torch.nn.functional.one_hot(labels, classes).float()
    return Batch(images.to(device), labels.to(device), targets.to(device))
