"""Loading images of shards for evaluation against a bare decode loop over the same shards at the same workers.

    python benchmarks/loading.py --data-dir DIR [--dataset imagenette] [--limit 400] [--rounds 5]

The bare loop reads each image's bytes at its offset, decodes them with Pillow, applies timm's transform and stacks a
batch: no hash, no check, nothing counted. Beside it stands WebDataset's own loop, decoding by Pillow too, with its
shards split over the workers. Both sides decode everything in every round; loading's pixels are not kept.

Without workers, processor time is compared, so that other programs do not matter; with them, time on the wall.
"""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import timm
import torch
from _measure import Comparison, Row, interleaved, report, rounds_row, run
from numpy.typing import NDArray
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from dynvit.data import open_split
from dynvit.data.pixels import PixelBatches
from dynvit.data.source import ShardSource
from dynvit.data.transforms import PixelTransform, Preprocessing, evaluation_transform, preprocessing_for
from dynvit.errors import InputError

WANTED = 0.9
BATCH = 64


class Bare(Dataset[NDArray[np.uint8]]):
    """Batches of pixels by the fewest steps."""

    def __init__(self, source: ShardSource, transform: PixelTransform) -> None:
        self.samples = [(str(source.paths[s.shard]), s.offset, s.size) for s in source.manifest.samples]
        self.transform = transform

    def __len__(self) -> int:
        return -(-len(self.samples) // BATCH)

    def __getitem__(self, batch: int) -> NDArray[np.uint8]:
        images = []
        for path, offset, size in self.samples[batch * BATCH : (batch + 1) * BATCH]:
            handle = os.open(path, os.O_RDONLY)
            content = os.pread(handle, size, offset)
            os.close(handle)
            images.append(self.transform(Image.open(io.BytesIO(content)).convert("RGB")).numpy())
        return np.stack(images)


def _as_is(batch: Any) -> Any:
    return batch


def bare_loop(source: ShardSource, transform: PixelTransform, workers: int) -> Callable[[], int]:
    """A pass of the bare loop; it returns the images."""

    def once() -> int:
        loader = DataLoader(Bare(source, transform), batch_size=None, num_workers=workers, collate_fn=_as_is)
        return sum(len(torch.from_numpy(images)) for images in loader)

    return once


def webdataset_loop(source: ShardSource, transform: PixelTransform, workers: int) -> Callable[[], int]:
    """The same by WebDataset, over whole shards."""
    import webdataset as wds

    shards = [str(path) for path in source.paths.values()]

    def decoded(sample: dict[str, Any]) -> NDArray[np.uint8]:
        content = next(value for name, value in sample.items() if name in ("jpg", "jpeg", "png", "webp"))
        return transform(Image.open(io.BytesIO(content)).convert("RGB")).numpy()

    def once() -> int:
        images = wds.WebDataset(shards, shardshuffle=False, empty_check=False).map(decoded)
        batches = images.batched(BATCH, collation_fn=np.stack)
        return sum(len(batch) for batch in wds.WebLoader(batches, batch_size=None, num_workers=workers))

    return once


def loading(source: ShardSource, preprocessing: Preprocessing, workers: int) -> Callable[[], int]:
    """A pass of what every evaluation reads by, from a loader that has kept nothing."""

    def batches() -> Iterator[int]:
        for batch in PixelBatches(source, preprocessing, batch_size=BATCH, workers=workers, memory_mb=0):
            yield len(batch.ids)

    return lambda: sum(batches())


def compared(name: str, comparison: Comparison, rounds: int, wanted: float | None) -> list[Row]:
    """The rows of one comparison."""
    share = comparison.speedup
    told = Row(name, str(comparison), f"≥ {wanted:g}" if wanted else "", share >= wanted if wanted else None)
    return [told, rounds_row(comparison, rounds)] if wanted else [told]


def main(
    data_dir: str | None = None,
    dataset: str = "imagenet",
    split: str = "validation",
    limit: int = 400,
    image_size: int = 224,
    rounds: int = 5,
) -> None:
    """Load --limit images of a split, in so many valid --rounds. Default: imagenet in $DYNVIT_DATA."""
    torch.set_num_threads(1)
    whole = open_split(dataset, split, data_dir=data_dir)
    source = whole.subset(range(min(limit, len(whole))))  # in the order of the shards
    if not isinstance(source, ShardSource) or not isinstance(whole, ShardSource):
        raise InputError(f"{dataset} is no set of shards: give imagenet or imagenette")
    config = timm.get_pretrained_cfg("deit_tiny_patch16_224")
    assert config is not None
    preprocessing = preprocessing_for(config.to_dict(), source.spec, image_size=image_size)
    transform = evaluation_transform(preprocessing)
    rows: list[Row] = []
    for workers in (0, 2):
        ours, bare = loading(source, preprocessing, workers), bare_loop(source, transform, workers)
        if ours() != bare():
            raise InputError("the two loops read different numbers of images")
        clock = time.perf_counter if workers else time.process_time
        found = interleaved(bare, ours, rounds=rounds, most=4 * rounds, warmup=0, clock=clock)
        rows += compared(f"share of the bare loop, {workers} workers", found, rounds, WANTED)
    ours, theirs = loading(whole, preprocessing, 2), webdataset_loop(whole, transform, 2)
    beside = interleaved(theirs, ours, rounds=2, most=4, warmup=0)
    rows += compared(f"share of WebDataset's loop, all {len(whole)} images, 2 workers", beside, 2, None)
    report(f"loading {len(source)} images of {dataset} {split} at {image_size} pixels, batches of {BATCH}", rows)


if __name__ == "__main__":
    run(main)
