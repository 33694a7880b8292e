"""What it costs to hold each sample to its hash, as a share of loading it.

    python benchmarks/hash_cost.py --data-dir DIR [--dataset cifar10] [--image-size 224]

Every image is read, hashed, decoded and transformed, one by one, and each step is timed within the same pass: so a
slow moment of the machine meets the hash and the loading alike. One thread; the shards are read once before, so that
the disk is not what is measured: with a slow disk the share is smaller.
"""

from __future__ import annotations

import hashlib
import statistics
import time

import timm
import torch
from _measure import Row, report, run

from dynvit.data import open_split
from dynvit.data.images import decode_image
from dynvit.data.source import ShardSource
from dynvit.data.transforms import PixelTransform, evaluation_transform, preprocessing_for
from dynvit.errors import InputError

WANTED_PCT = 2.0


def pass_over(source: ShardSource, transform: PixelTransform) -> tuple[float, float]:
    """Seconds of hashing and of loading (read, decode, transform), over all images."""
    hashing = loading = 0.0
    for index, sample in enumerate(source.manifest.samples):
        start = time.perf_counter()
        content = source.read_bytes(index)
        read = time.perf_counter()
        same = hashlib.sha256(content).hexdigest() == sample.sha256
        hashed = time.perf_counter()
        transform(decode_image(content))
        end = time.perf_counter()
        if not same:
            raise InputError(f"key {sample.key!r} is not what its manifest lists")
        hashing += hashed - read
        loading += end - start - (hashed - read)
    return hashing, loading


def main(
    data_dir: str | None = None,
    dataset: str = "imagenet",
    split: str = "validation",
    limit: int = 1000,
    image_size: int = 224,
    rounds: int = 5,
) -> None:
    """Hold --limit images of a split to their hashes in so many --rounds, the middle one counts."""
    torch.set_num_threads(1)
    source = open_split(dataset, split, data_dir=data_dir, limit=limit)
    if not isinstance(source, ShardSource):
        raise InputError(f"{dataset} is no set of shards: give imagenet or cifar10")
    config = timm.get_pretrained_cfg("deit_tiny_patch16_224")
    assert config is not None
    transform = evaluation_transform(preprocessing_for(config.to_dict(), source.spec, image_size=image_size))
    pass_over(source, transform)
    passes = [pass_over(source, transform) for _ in range(rounds)]
    hashing, loading = (statistics.median(times) / len(source) for times in zip(*passes, strict=True))
    share = statistics.median(100 * hashed / loaded for hashed, loaded in passes)
    size = sum(sample.size for sample in source.manifest.samples) / len(source)
    report(
        f"{len(source)} images of {dataset} {split}, {size / 1e3:.1f} kB each, at {image_size} pixels",
        [
            Row("loading an image, µs", f"{1e6 * loading:.0f}"),
            Row("its hash, µs", f"{1e6 * hashing:.1f}"),
            Row("hash over loading", f"{share:.2f} %", f"≤ {WANTED_PCT:g} %", share <= WANTED_PCT),
        ],
    )


if __name__ == "__main__":
    run(main)
