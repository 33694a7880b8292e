"""What is asked of a speed test, and what comes of one batch size: the arithmetic, without a model or a clock."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass

from dynvit.errors import InputError
from dynvit.measurements.speed.interleaved import Comparison
from dynvit.measurements.speed.timed_model import TORCH_DTYPE, Dtype

BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
ROUND_IMAGES = 32
MOST = 4
"""Rounds that are run at most, as a multiple of those that must be quiet."""
WARMUP = (2, 10)
"""Warm-up passes of each, at least and at most."""
STEADY = 0.9
"""Warm is what a further pass does not speed up below this share of the fastest so far."""


@dataclass(frozen=True)
class SpeedSettings:
    """What is asked. ``rounds`` is how many must be quiet; ``seed`` draws the images."""

    batches: tuple[int, ...] = BATCHES
    rounds: int = 7
    dtype: Dtype = "float32"
    compile: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.dtype not in TORCH_DTYPE:
            raise InputError(f"unknown number type {self.dtype!r}: {' and '.join(TORCH_DTYPE)} are measured")
        if not self.batches or min(self.batches) < 1:
            raise InputError(f"a batch holds 1 image or more, not {min(self.batches, default='none')}")
        if self.rounds < 1:
            raise InputError(f"{self.rounds} rounds measure nothing: give 1 or more")

    @property
    def images(self) -> int:
        """Images that the longest round needs."""
        return max(round_images(size) for size in self.batches)


@dataclass(frozen=True)
class Timing:
    """One batch size. Units: ``latencies`` seconds of each batch of the quiet rounds; MACs an image; bytes; mJ."""

    asked: int
    batch_size: int
    images: int
    different_images: int
    comparison: Comparison
    latencies: tuple[float, ...]
    mode: str
    dense_mode: str
    macs: float
    dense_macs: float
    warmup_runs: int
    peak_bytes: int | None = None
    dense_peak_bytes: int | None = None
    memory_by: str | None = None
    energy_mj: float | None = None
    dense_energy_mj: float | None = None

    @property
    def images_per_s(self) -> float:
        """Of the method, in the median round."""
        return self.images / statistics.median(turn.other for turn in self.comparison.quiet)

    @property
    def dense_images_per_s(self) -> float:
        """Of the dense backbone, in the median round."""
        return self.images / statistics.median(turn.base for turn in self.comparison.quiet)

    @property
    def realised(self) -> float:
        """Speed-up over dense: each round a ratio over the same images, the median of the rounds."""
        return self.comparison.speedup

    @property
    def promised(self) -> float:
        """Speed-up over dense that the MACs of these images promise."""
        return self.dense_macs / self.macs

    @property
    def share(self) -> float:
        """How much of the promise the clock finds."""
        return self.realised / self.promised


def round_images(batch_size: int) -> int:
    """Images of a round: whole batches, at least ``ROUND_IMAGES``.

    >>> round_images(1), round_images(5), round_images(256)
    (32, 35, 256)
    """
    return batch_size * math.ceil(ROUND_IMAGES / batch_size)


def expected_images(batch_size: int, rounds: int) -> int:
    """Forward passes of an image that a batch size takes on a quiet machine, both contenders together."""
    return round_images(batch_size) * (2 * WARMUP[0] + 2 * rounds + 1)
