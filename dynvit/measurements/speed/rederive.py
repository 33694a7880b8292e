"""What of a timing, and of a record's timings in a board, follows from the rest."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from dynvit.leaderboard.board import Entry, Leaderboard
from dynvit.leaderboard.contradiction import Contradiction, between, equal
from dynvit.leaderboard.record import is_static
from dynvit.measurements.rederive import Beside
from dynvit.measurements.speed.result import SpeedResult
from dynvit.measurements.speed.summary import SpeedSummary, break_even, conditions

MANY = 100
"""Batches from which there is a 99th percentile."""
_IN_CONFIG = ("device", "dtype", "threads", "images_seed")


def of_line(result: SpeedResult, beside: Beside) -> Iterator[Contradiction]:
    """What the configuration and the record say, and what the numbers say of each other."""
    config, record = beside.config, beside.record
    for at in _IN_CONFIG:
        if at in config:
            yield from equal(at, getattr(result, at), config[at], "config")
    if "batch_size" in config:
        asked = result.batch_size_asked or result.batch_size
        yield from equal("batch_size", asked, config["batch_size"], "config: the batch that was asked for")
    yield from of_result(result)
    theoretical = result.speedup_theoretical
    if record is not None and theoretical is not None:
        dense, most = record.compute.dense_gmacs, record.compute.gmacs_max
        if is_static(record):
            yield from equal("speedup_theoretical", theoretical, 1.0, "the record is of the static backbone")
        elif most and theoretical < (1 - 1e-9) * dense / most:
            least = f"be {dense / most:.8g} or more (dense_gmacs / gmacs_max of the record)"
            yield Contradiction("speedup_theoretical", least, theoretical)


def of_result(result: SpeedResult) -> Iterator[Contradiction]:
    """Speed-ups, throughputs, percentiles and counts against each other."""
    yield from _of_speedups(result)
    yield from _of_rounds(result)
    if result.latency_p99_ms is not None and result.latency_p99_ms < result.latency_p95_ms:
        yield Contradiction("latency_p99_ms", "be latency_p95_ms or more", result.latency_p99_ms)
    if result.batch_size_asked is not None and result.batch_size_asked <= result.batch_size:
        yield Contradiction("batch_size_asked", "be above batch_size, or null", result.batch_size_asked)


def of_summary(summary: SpeedSummary, entry: Entry, board: Leaderboard) -> Iterator[Contradiction]:
    """Within a board: each timing, and the break-even batch size of each curve."""
    for place, curve in enumerate(summary.curves):
        at = f"curves.{place}"
        if curve.break_even_batch != break_even(curve.sizes, 0):  # older boards took any number of rounds
            yield from equal(f"{at}.break_even_batch", curve.break_even_batch, break_even(curve.sizes), "of the sizes")
        for number, timing in enumerate(curve.sizes):
            for found in of_result(timing):
                yield found.within(f"{at}.sizes.{number}")
            yield from equal(f"{at}.sizes.{number}", str(conditions(timing)), str(conditions(curve)), "the curve's")
        for number, (small, large) in enumerate(pairwise(curve.sizes), 1):
            if small.batch_size >= large.batch_size:
                yield Contradiction(f"{at}.sizes.{number}.batch_size", "rise", large.batch_size)


def _of_speedups(result: SpeedResult) -> Iterator[Contradiction]:
    low, high, realised = result.speedup_low, result.speedup_high, result.speedup
    if realised is not None and result.speedup_theoretical and result.speedup_share is not None:
        share = realised / result.speedup_theoretical
        yield from equal("speedup_share", result.speedup_share, share, "speedup / speedup_theoretical")
    if low is None or high is None:
        return
    if realised is not None:
        yield from between("speedup", realised, low, high, "speedup_low to speedup_high")
        if result.rounds_valid in (1, 2):
            yield from equal("speedup", realised, (low + high) / 2, "the median of the valid rounds")
    if result.dense_images_per_s:  # where each round is so many times as fast, so are the medians
        ratio = result.images_per_s / result.dense_images_per_s
        yield from between("images_per_s", ratio, low, high, "over dense_images_per_s: speedup_low to speedup_high")


def _of_rounds(result: SpeedResult) -> Iterator[Contradiction]:
    images, valid, timed = result.images, result.rounds_valid, result.batches_timed
    if images is None or valid is None or timed is None:
        return
    if images % result.batch_size:
        yield Contradiction("images", f"be whole batches of {result.batch_size}", images)
    yield from equal("batches_timed", timed, valid * (images // result.batch_size), "valid rounds x batches of a round")
    if (result.latency_p99_ms is None) != (timed < MANY):
        yield Contradiction("latency_p99_ms", f"be null below {MANY} batches, and only there", result.latency_p99_ms)
    if images == result.batch_size and result.latency_p50_ms:
        per_s = 1e3 * images / result.latency_p50_ms
        yield from equal("images_per_s", result.images_per_s, per_s, "a round is one batch: images / latency_p50_ms")
    if result.different_images is not None:
        yield from between("different_images", result.different_images, 1, images, "images")
