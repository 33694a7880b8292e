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

from dynvit.data.corruptions.catalogue import corrupt
from dynvit.data.datasets import DatasetSpec
from dynvit.data.pixels import PixelBatch
from dynvit.data.transforms import Preprocessing, evaluation_transform


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
    """The clean batches, corrupted; kept up to ``memory_mb``, so that the next model gets the same pixels.

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
    ) -> None:
        self._clean, self._corrupting, self._pool, self._ahead = clean, corrupting, pool, ahead
        self._memory_left = memory_mb << 20
        self._kept: list[PixelBatch] = []
        self.corrupted = 0

    def __iter__(self) -> Iterator[PixelBatch]:
        kept = len(self._kept)
        yield from self._kept
        # Batches are kept from the first until one does not fit: what is left to make is always the tail.
        for number, batch in enumerate(self._made(kept), kept):
            self.corrupted += len(batch.ids)
            if batch.images.nbytes <= self._memory_left and number == len(self._kept):
                self._memory_left -= batch.images.nbytes
                self._kept.append(batch)
            else:
                self._memory_left = 0
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
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool
