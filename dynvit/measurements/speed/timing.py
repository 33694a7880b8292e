"""The result of one batch size, and how much is run for it: arithmetic, without a model or a timer."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass

from dynvit.measurements.speed.interleaved import Comparison

ROUND_IMAGES = 32
MOST = 4
"""Rounds that are run at most, as a multiple of those that must be valid."""
WARMUP = (2, 10)
"""Warm-up passes of each model, at least and at most."""
STEADY = 0.9
"""Warm-up ends when a pass takes no less than this fraction of the fastest so far."""


@dataclass(frozen=True)
class Timing:
    """The result of one batch size. ``asked`` is the batch size that was asked for, ``batch_size`` the one that fits.

    Units: ``latencies`` in seconds, of each batch of the valid rounds; MACs per image; bytes; mJ per image.
    """

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
        """Throughput of the method in the median valid round. Units: images/s."""
        return self.images / statistics.median(round.other for round in self.comparison.valid)

    @property
    def dense_images_per_s(self) -> float:
        """Throughput of the dense backbone in the median valid round. Units: images/s."""
        return self.images / statistics.median(round.base for round in self.comparison.valid)

    @property
    def realised(self) -> float:
        """Measured speed-up over dense: the median over valid rounds of the ratio on the same images."""
        return self.comparison.speedup

    @property
    def theoretical(self) -> float:
        """Speed-up over dense by the MACs of these images."""
        return self.dense_macs / self.macs

    @property
    def share(self) -> float:
        """The realised as a share of the theoretical speed-up."""
        return self.realised / self.theoretical


def round_images(batch_size: int) -> int:
    """Images of a round: whole batches, ``ROUND_IMAGES`` or more.

    >>> round_images(1), round_images(5), round_images(256)
    (32, 35, 256)
    """
    return batch_size * math.ceil(ROUND_IMAGES / batch_size)


def largest_round(batch_sizes: Iterable[int]) -> int:
    """Images that the longest round needs.

    >>> largest_round((1, 5, 32))
    35
    """
    return max(round_images(size) for size in batch_sizes)


def expected_images(batch_size: int, rounds: int) -> int:
    """Images that a batch size passes through both models together, where every round is valid."""
    return round_images(batch_size) * (2 * WARMUP[0] + 2 * rounds + 1)
