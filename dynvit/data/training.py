"""The loader of training: a step's batch depends on seed, epoch and step only, not on workers or a restart."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from dynvit.data.augment import Draws, augment_batch
from dynvit.data.decoding import Work, decode
from dynvit.data.source import ArraySource, BadSampleError, ImageSource
from dynvit.data.transforms import (
    Preprocessing,
    evaluation_transform,
    training_transform,
    works_on_images,
)
from dynvit.errors import InputError
from dynvit.interface import Augment
from dynvit.progress import Progress


class TrainingBatches:
    """Shuffled, augmented batches of this process.

    Each step takes ``batch_size * world`` views from the epoch's permutation and gives every ``world``-th of them
    to a rank. ``augment.repeats`` views of an image follow each other (repeated augmentation, Hoffer et al., 2020).
    Mixup and CutMix belong to the trainer. Sets whose classes change under mirroring (``spec.flip``) are not flipped.

    Where no step of the augmentation needs the decoded image itself, each image is decoded and resized once and
    kept, up to ``memory_mb``; so are small images under RandAugment, at their native size.

    Without ``drop_last`` the last, smaller step is yielded too; it repeats views only where there are fewer than
    ranks, since each rank must take part in each step. For the same reason, with it, a step whose images are all bad
    and skipped has those of a step beside it.

    Units: ``batch_size`` images a process; ``memory_mb`` MiB a process.

    Raises: ``InputError`` for a batch larger than the split.
    """

    def __init__(
        self,
        source: ImageSource,
        preprocessing: Preprocessing,
        augment: Augment,
        *,
        batch_size: int,
        seed: int = 0,
        rank: int = 0,
        world: int = 1,
        workers: int = 0,
        drop_last: bool = True,
        memory_mb: int = 2048,
    ) -> None:
        flip = augment.flip if source.spec.flip else 0.0
        self.augment = dataclasses.replace(augment, flip=flip)
        self.preprocessing, self.batch_size, self.seed = preprocessing, batch_size, seed
        self.rank, self.world, self.workers, self.drop_last = rank, world, workers, drop_last
        self.bad: dict[str, str] = {}
        self.decoded = 0
        self._views = len(source) * augment.repeats
        if len(self) == 0:
            raise InputError(
                f"a step must have at most the {self._views} images of {source.spec.name} {source.split}, got "
                f"{batch_size * world}: give a smaller batch"
            )
        self._pixels: Tensor | None = None
        self._source = source
        size = preprocessing.image_size
        if not works_on_images(augment) and 3 * size * size * len(source) <= memory_mb << 20:
            self._keep_pixels()
        elif source.spec.small and not isinstance(source, ArraySource):
            self._keep_native(memory_mb << 20)
        self._transform = training_transform(preprocessing, self.augment)
        self._labels = torch.tensor([s.label for s in self._source.manifest.samples], dtype=torch.int64)

    def __len__(self) -> int:
        """Steps an epoch, the same on each rank."""
        step = self.batch_size * self.world
        return self._views // step if self.drop_last else -(-self._views // step)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of an epoch from step ``start`` on: images (B, 3, H, W) in [0, 1], labels (B,)."""
        seed = _seed(self.seed, epoch)
        order = torch.randperm(len(self._source), generator=torch.Generator().manual_seed(seed))
        repeats = self.augment.repeats
        views = (order[:, None] * repeats + torch.arange(repeats)).flatten()
        draws = Draws.of(self._views, seed + 1)
        steps = [self._mine(views, step) for step in range(start, len(self))]
        for mine, pixels in self._read(steps, draws):
            images = augment_batch(pixels, draws[mine], self.augment, self.preprocessing.mean, self.preprocessing.std)
            yield images.float().div_(255), self._labels[mine // repeats]

    def _mine(self, views: Tensor, step: int) -> Tensor:
        size = self.batch_size * self.world
        chunk = views[step * size : (step + 1) * size]
        if len(chunk) < self.world:
            chunk = torch.cat([chunk, views[torch.arange(self.world - len(chunk)) % len(views)]])
        return chunk[self.rank :: self.world]

    def _read(self, steps: Sequence[Tensor], draws: Draws) -> Iterator[tuple[Tensor, Tensor]]:
        """Views and their pixels, uint8."""
        repeats = self.augment.repeats
        if self._pixels is not None:
            for mine in steps:
                yield mine, self._pixels[mine // repeats]
            return
        work = [Work((mine // repeats).tolist(), draws.noise_seed[mine].tolist()) for mine in steps]
        good: tuple[Tensor, Tensor] | None = None
        owed = 0
        for mine, decoded in zip(steps, decode(self._source, self._transform, work, self.workers), strict=True):
            self.bad.update(decoded.bad)
            self.decoded += len(decoded.positions)
            if decoded.positions:
                good = mine[decoded.positions], torch.from_numpy(decoded.images)
            elif not self.drop_last:
                continue
            owed += 1
            while good is not None and owed:
                owed -= 1
                yield good
        if owed:
            raise self._all_bad()

    def _keep_pixels(self) -> None:
        size = self.preprocessing.image_size
        pixels = torch.empty(len(self._source), 3, size, size, dtype=torch.uint8)
        chunks = list(torch.arange(len(self._source)).split(256))
        work = [Work(chunk.tolist()) for chunk in chunks]
        good: list[Tensor] = []
        task = f"decoding {self._source.spec.name} {self._source.split}"
        with Progress(task, len(pixels), quiet=self.rank > 0) as progress:
            decoding = decode(self._source, evaluation_transform(self.preprocessing), work, self.workers)
            for chunk, decoded in zip(chunks, decoding, strict=True):
                if decoded.positions:
                    pixels[chunk[decoded.positions]] = torch.from_numpy(decoded.images)
                    good.append(chunk[decoded.positions])
                self.bad.update(decoded.bad)
                progress.advance(len(chunk))
        kept = torch.cat(good) if good else torch.empty(0, dtype=torch.int64)
        self.decoded += len(kept)
        self._pixels = pixels if len(kept) == len(pixels) else pixels[kept]
        self._without_bad(kept.tolist())

    def _keep_native(self, memory: int) -> None:
        """Keep decoded images at their native size, where all have the same size and fit in memory."""
        samples = self._source.manifest.samples
        size = self._source.spec.image_size
        if size * size * 3 * len(samples) > memory:
            return
        images = np.zeros((len(samples), size, size, 3), np.uint8)
        good: list[int] = []
        for row, sample in enumerate(samples):
            try:
                image = np.asarray(self._source.read(row).image)
            except BadSampleError as error:
                if self._source.on_bad_sample == "raise":
                    raise
                self.bad[sample.key] = str(error)
                continue
            if image.shape != images.shape[1:]:
                return
            images[row] = image
            good.append(row)
        self.decoded += len(good)
        kept = tuple(dataclasses.replace(sample, offset=row) for row, sample in enumerate(samples))
        manifest = dataclasses.replace(self._source.manifest, samples=kept)
        self._source = ArraySource(self._source.spec, self._source.split, manifest, images=images)
        self._without_bad(good)

    def _without_bad(self, kept: Sequence[int]) -> None:
        if len(kept) < len(self._source):
            self._views = len(kept) * self.augment.repeats
            if len(self) == 0:
                raise self._all_bad()
            self._source = self._source.subset(kept)

    def _all_bad(self) -> InputError:
        return InputError(
            f"{self._source.spec.name} {self._source.split} must have images for a step of "
            f"{self.batch_size * self.world}, got {len(self.bad)} that cannot be decoded: dynvit data check lists them"
        )


def _seed(*parts: int) -> int:
    """A hash, so that seeds of neighbouring epochs are unrelated."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:7], "big")
