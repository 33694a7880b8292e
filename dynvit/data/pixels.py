"""The loader of evaluation: each sample exactly once over all processes, decoded once over all points."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from dynvit.data.decoding import Decoded, Work, decode
from dynvit.data.kept import DiskAllowance, KeptPixels
from dynvit.data.source import ImageSource
from dynvit.data.transforms import Preprocessing, evaluation_transform


class PixelBatch(NamedTuple):
    """Images to evaluate.

    Shape: ``images`` uint8 (B, 3, H, W); ``labels`` int64 (B,). Units: pixels 0..255, not normalised.
    """

    ids: list[str]
    images: Tensor
    labels: Tensor


class PixelBatches:
    """Batches of fixed composition; batch ``b`` belongs to rank ``b % world``.

    The batches do not depend on the number of processes or workers, so neither do results. The first pass decodes;
    decoded pixels are kept up to ``memory_mb``, then on disk as far as ``disk`` allows (None: not at all), and later
    passes decode only what did not fit.

    ``decoded`` counts the images decoded so far; ``bad`` maps the ids of this rank's unreadable samples to the
    reason (with ``on_bad_sample="skip"``; they are left out of their batches).

    Units: ``memory_mb`` MiB a process. A 224-pixel image takes 0.14 MiB: 4,096 hold 28,500 images.
    """

    def __init__(
        self,
        source: ImageSource,
        preprocessing: Preprocessing,
        *,
        batch_size: int = 64,
        workers: int = 0,
        memory_mb: int = 4096,
        disk: DiskAllowance | None = None,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.source, self.preprocessing, self.workers = source, preprocessing, workers
        self.decoded = 0
        self.bad: dict[str, str] = {}
        starts = range(rank * batch_size, len(source), batch_size * world)
        self._work = [Work(range(start, min(start + batch_size, len(source)))) for start in starts]
        self._transform = evaluation_transform(preprocessing)
        self._pixels = KeptPixels(memory_mb << 20, disk)
        self._known: dict[int, tuple[list[str], Tensor]] = {}

    def __len__(self) -> int:
        """Batches of this rank."""
        return len(self._work)

    @property
    def images(self) -> int:
        """Images of this rank, bad ones included."""
        return sum(len(work.indices) for work in self._work)

    def __iter__(self) -> Iterator[PixelBatch]:
        due = {b: self._work[b] for b in range(len(self)) if b not in self._pixels}
        fresh = decode(self.source, self._transform, list(due.values()), self.workers)
        for b in range(len(self)):
            batch = self._take(b, next(fresh)) if b in due else self._again(b)
            if batch.ids:
                yield batch

    def _again(self, b: int) -> PixelBatch:
        if b not in self._pixels:  # it was when this pass began: the disk is full by now
            return self._take(b, next(decode(self.source, self._transform, [self._work[b]])))
        ids, labels = self._known[b]
        return PixelBatch(ids, self._pixels[b], labels)

    def _take(self, b: int, decoded: Decoded) -> PixelBatch:
        self.decoded += len(decoded.positions)
        self.bad.update(decoded.bad)
        samples = [self.source.manifest.samples[self._work[b].indices[p]] for p in decoded.positions]
        batch = PixelBatch(
            [sample.key for sample in samples],
            torch.from_numpy(decoded.images),
            torch.tensor([sample.label for sample in samples], dtype=torch.int64),
        )
        if self._pixels.keep(b, decoded.images):
            self._known[b] = batch.ids, batch.labels
        return batch


def to_pixels(images: Tensor) -> Tensor:
    """uint8 pixels to floats in [0, 1]; floats as they are.

    Shape: any → the same.
    """
    return images.float().div_(255) if images.dtype == torch.uint8 else images
