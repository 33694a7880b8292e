"""Augmented images for training against the bare transform of the same decoded images, one thread.

    python benchmarks/training_loading.py [--dataset cifar10] [--image-size 64] [--limit 2000] [--rounds 6]

Both sides hold decoded arrays, as torchvision's CIFAR10 does, and crop, resize and stack every image, as the fine-tuned
division has it. The bare loop draws from the global random states and does not flip; a training's loader seeds each
image, so that a batch depends on seed, epoch and step alone. Processor time.
"""

from __future__ import annotations

import time

import numpy as np
import timm
import torch
from _measure import Row, interleaved, report, rounds_row, run
from PIL import Image

from dynvit.data import open_split
from dynvit.data.training import TrainingBatches
from dynvit.data.transforms import preprocessing_for, training_transform
from dynvit.interface import Augment

WANTED = 0.8
BATCH = 64
AUGMENT = Augment(flip=0.5, crop_scale=0.6)


def main(
    data_dir: str | None = None, dataset: str = "cifar10", image_size: int = 64, limit: int = 2000, rounds: int = 6
) -> None:
    """An epoch of --limit images, in so many valid --rounds. Default: cifar10 in $DYNVIT_DATA."""
    torch.set_num_threads(1)
    source = open_split(dataset, "train", data_dir=data_dir, limit=limit)
    config = timm.get_pretrained_cfg("deit_tiny_patch16_224")
    assert config is not None
    preprocessing = preprocessing_for(config.to_dict(), source.spec, image_size=image_size)
    loader = TrainingBatches(source, preprocessing, AUGMENT, batch_size=BATCH)
    transform = training_transform(preprocessing, AUGMENT)
    decoded = [np.asarray(source.read(index).image) for index in range(len(source))]

    def bare() -> None:
        for start in range(0, len(decoded) - BATCH + 1, BATCH):
            pixels = np.stack([transform(Image.fromarray(image)).numpy() for image in decoded[start : start + BATCH]])
            torch.from_numpy(pixels).float().div_(255)

    def ours() -> None:
        for _ in loader.epoch(0):
            pass

    found = interleaved(bare, ours, rounds=rounds, most=4 * rounds, warmup=1, clock=time.process_time)
    share = found.speedup
    told = Row("share of the bare transform", str(found), f"≥ {WANTED:g}", share >= WANTED)
    report(
        f"training images of {dataset} at {image_size} pixels, batches of {BATCH}", [told, rounds_row(found, rounds)]
    )


if __name__ == "__main__":
    run(main)
