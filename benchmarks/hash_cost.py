"""What it costs to hold each sample to its hash, as a share of loading it.

    python benchmarks/hash_cost.py --data-dir DIR [--dataset cifar10] [--image-size 224]

Each image is read, hashed, decoded and transformed, and each step is timed in its place, so that a slow moment of the
machine meets them alike. Of each image and step the quickest round counts, in processor time of the one thread. The
hash is charged with touching the bytes first, which without it the decoder would do. The shards are in memory after the
first round: with a disk to wait for, the share is smaller.
"""

from __future__ import annotations

import hashlib
import time

import numpy as np
import timm
import torch
from _measure import Row, report, run
from numpy.typing import NDArray

from dynvit.data import open_split
from dynvit.data.images import decode_image
from dynvit.data.source import ShardSource
from dynvit.data.transforms import PixelTransform, evaluation_transform, preprocessing_for
from dynvit.errors import InputError

WANTED_PCT = 2.0


def quickest(source: ShardSource, transform: PixelTransform, rounds: int) -> NDArray[np.float64]:
    """Seconds of processor time of reading, hashing, decoding and transforming each image. Shape: (4, images)."""
    times = np.full((rounds, 4, len(source)), np.inf)
    for done in times:
        for index, sample in enumerate(source.manifest.samples):
            ends = [time.thread_time()]
            content = source.read_bytes(index)
            ends.append(time.thread_time())
            same = hashlib.sha256(content).hexdigest() == sample.sha256
            ends.append(time.thread_time())
            image = decode_image(content)
            ends.append(time.thread_time())
            transform(image)
            ends.append(time.thread_time())
            if not same:
                raise InputError(f"key {sample.key!r} is not what its manifest lists")
            done[:, index] = np.diff(ends)
    found: NDArray[np.float64] = times.min(0)
    return found


def main(
    data_dir: str | None = None,
    dataset: str = "imagenet",
    split: str = "validation",
    limit: int = 1000,
    image_size: int = 224,
    rounds: int = 6,
) -> None:
    """Hold --limit images of a split to their hashes, in so many --rounds. Default: imagenet in $DYNVIT_DATA."""
    torch.set_num_threads(1)
    source = open_split(dataset, split, data_dir=data_dir, limit=limit)
    if not isinstance(source, ShardSource):
        raise InputError(f"{dataset} is no set of shards: give imagenet or cifar10")
    config = timm.get_pretrained_cfg("deit_tiny_patch16_224")
    assert config is not None
    transform = evaluation_transform(preprocessing_for(config.to_dict(), source.spec, image_size=image_size))
    read, hashed, decoded, transformed = quickest(source, transform, rounds).mean(1)
    loading = read + decoded + transformed
    size, share = sum(sample.size for sample in source.manifest.samples) / len(source), 100 * hashed / loading
    report(
        f"{len(source)} images of {dataset} {split}, {size / 1e3:.1f} kB each, at {image_size} pixels",
        [
            Row("loading an image, µs", f"{1e6 * loading:.0f}"),
            Row("its hash, µs", f"{1e6 * hashed:.1f}"),
            Row("hash over loading", f"{share:.2f} %", f"≤ {WANTED_PCT:g} %", share <= WANTED_PCT),
        ],
    )


if __name__ == "__main__":
    run(main)
