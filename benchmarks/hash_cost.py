"""What it costs to hold each sample to its hash, as a share of loading it.

    python benchmarks/hash_cost.py --data-dir DIR [--dataset cifar10] [--image-size 224]

Each image is loaded twice in turn: read, decoded and transformed, and the same with its hash. So a slow moment of the
machine meets both, and whichever touches the bytes first pays for it; which of the two comes first alternates. Of each
image and way the quickest round counts, in processor time of the one thread. The shards are in memory after the first
round: with a disk to wait for, the share is smaller.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable

import numpy as np
import timm
import torch
from _measure import Row, report, run
from numpy.typing import NDArray

from dynvit.data import open_split
from dynvit.data.images import decode_image
from dynvit.data.source import ShardSource
from dynvit.data.transforms import evaluation_transform, preprocessing_for
from dynvit.errors import InputError

WANTED_PCT = 2.0


def quickest(ways: list[Callable[[int], object]], count: int, rounds: int) -> NDArray[np.float64]:
    """Seconds of processor time of each way for each of ``count`` images. Shape: (ways, images)."""
    times = np.full((rounds, len(ways), count), np.inf)
    for done in range(rounds):
        for index in range(count):
            for turn in range(len(ways)):
                way = (turn + done) % len(ways)
                start = time.thread_time()
                ways[way](index)
                times[done, way, index] = time.thread_time() - start
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
    samples = source.manifest.samples

    def load(index: int) -> None:
        transform(decode_image(source.read_bytes(index)))

    def load_held(index: int) -> None:
        content = source.read_bytes(index)
        if hashlib.sha256(content).hexdigest() != samples[index].sha256:
            raise InputError(f"key {samples[index].key!r} is not what its manifest lists")
        transform(decode_image(content))

    bare, held = quickest([load, load_held], len(samples), rounds).sum(1) / len(samples)
    size, share = sum(sample.size for sample in samples) / len(samples), 100 * (held / bare - 1)
    report(
        f"{len(samples)} images of {dataset} {split}, {size / 1e3:.1f} kB each, at {image_size} pixels",
        [
            Row("loading an image, µs", f"{1e6 * bare:.0f}"),
            Row("with its hash, µs", f"{1e6 * held:.0f}"),
            Row("hash over loading", f"{share:.2f} %", f"≤ {WANTED_PCT:g} %", share <= WANTED_PCT),
        ],
    )


if __name__ == "__main__":
    run(main)
