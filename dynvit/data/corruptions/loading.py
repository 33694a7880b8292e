"""Batches of corrupted images, made from decoded ones: each image is decoded once for all corruptions."""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from dynvit.data.corruptions.catalogue import corrupt
from dynvit.data.datasets import DatasetSpec
from dynvit.data.kept import DiskAllowance, KeptPixels
from dynvit.data.pixels import PixelBatch
from dynvit.data.transforms import Preprocessing, evaluation_transform
from dynvit.registry import load_plugins, plugin_files


class Variant(NamedTuple):
    """One corruption at one severity."""

    corruption: str
    severity: int


def canvas(spec: DatasetSpec, preprocessing: Preprocessing) -> Preprocessing:
    """How an image is prepared before it is corrupted.

    Small images keep their native size, as in CIFAR-10-C; others are resized and cropped to the model's input, as in
    ImageNet-C.
    """
    return replace(preprocessing, image_size=spec.image_size, crop_pct=1.0) if spec.small else preprocessing


@dataclass(frozen=True)
class Corrupting:
    """Corrupts a decoded image, then resizes and crops it for the model where that is not done yet."""

    variant: Variant
    seed: int
    before: Preprocessing
    after: Preprocessing

    def __call__(self, images: NDArray[np.uint8], ids: list[str]) -> NDArray[np.uint8]:
        """Shape: uint8 (B, 3, h, w) → (B, 3, H, W)."""
        return np.stack([self._one(image, sample_id) for image, sample_id in zip(images, ids, strict=True)])

    def _one(self, image: NDArray[np.uint8], sample_id: str) -> NDArray[np.uint8]:
        upright = np.ascontiguousarray(image.transpose(1, 2, 0))
        corrupted = corrupt(upright, *self.variant, sample_id, self.seed)
        if self.before == self.after:
            return corrupted.transpose(2, 0, 1)
        cut: NDArray[np.uint8] = evaluation_transform(self.after)(Image.fromarray(corrupted)).numpy()
        return cut


class CorruptedBatches:
    """The clean batches, corrupted; kept up to ``memory_mb``, then on ``disk``: the next model gets the same pixels.

    ``pool`` corrupts in other processes. Units: ``memory_mb`` MiB.
    """

    def __init__(
        self,
        clean: Iterable[PixelBatch],
        corrupting: Corrupting,
        *,
        pool: ProcessPoolExecutor | None = None,
        ahead: int = 2,
        memory_mb: int = 2048,
        disk: DiskAllowance | None = None,
    ) -> None:
        self._clean, self._corrupting, self._pool, self._ahead = clean, corrupting, pool, ahead
        self._pixels = KeptPixels(memory_mb << 20, disk)
        self._known: list[tuple[list[str], Tensor]] = []
        self.corrupted = 0

    def __iter__(self) -> Iterator[PixelBatch]:
        # Batches are kept from the first until one does not fit: what is left to make is always the tail.
        kept = 0
        while kept < len(self._known) and kept in self._pixels:
            ids, labels = self._known[kept]
            yield PixelBatch(ids, self._pixels[kept], labels)
            kept += 1
        for number, batch in enumerate(self._made(kept), kept):
            self.corrupted += len(batch.ids)
            if number == len(self._known) and self._pixels.keep(number, batch.images.numpy()):
                self._known.append((batch.ids, batch.labels))
            yield batch

    def _made(self, skipped: int) -> Iterator[PixelBatch]:
        clean = (batch for number, batch in enumerate(self._clean) if number >= skipped)
        if self._pool is None:
            for batch in clean:
                yield _with(batch, self._corrupting(batch.images.numpy(), batch.ids))
            return
        waiting: deque[tuple[PixelBatch, Future[NDArray[np.uint8]]]] = deque()
        for batch in clean:
            waiting.append((batch, self._pool.submit(self._corrupting, batch.images.numpy(), batch.ids)))
            if len(waiting) > self._ahead:
                first, future = waiting.popleft()
                yield _with(first, future.result())
        for first, future in waiting:
            yield _with(first, future.result())


def _with(batch: PixelBatch, images: NDArray[np.uint8]) -> PixelBatch:
    return PixelBatch(batch.ids, torch.from_numpy(images), batch.labels)


@contextmanager
def corrupting_pool(workers: int) -> Iterator[ProcessPoolExecutor | None]:
    """A pool of processes that corrupt images; ``None`` for 0 workers: then this process does."""
    if workers == 0:
        yield None
        return
    # Spawned: a fork would inherit the threads' locks of a process that runs models.
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, spawn, initializer=load_plugins, initargs=(plugin_files(),)) as pool:
        yield pool
