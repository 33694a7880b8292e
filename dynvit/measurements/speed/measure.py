"""``bench --speed``: a few points of each arm against the dense backbone, one line of ``speed.jsonl`` a batch size."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeVar

import numpy as np
import torch
from pydantic import JsonValue
from torch import Tensor, nn

from dynvit.data.drawn import drawn_pixels
from dynvit.data.source import ImageSource
from dynvit.data.transforms import Preprocessing
from dynvit.environment import Environment, capture
from dynvit.errors import InputError
from dynvit.interface import OperatingPoint, Rule
from dynvit.leaderboard.follow_up import SpeedFollowUp, SpeedStore, follow_up_key
from dynvit.leaderboard.record import SpeedRecord
from dynvit.measurements.speed.energy import Meter, meter_for
from dynvit.measurements.speed.speed_test import SpeedTest
from dynvit.measurements.speed.timed_model import TimedModel, check_compile, timed_dense, timed_predict
from dynvit.measurements.speed.timer import Timer, timer_for
from dynvit.measurements.speed.timing import SpeedSettings, Timing, expected_images
from dynvit.processes import launched
from dynvit.progress import Progress
from dynvit.session.open_model import OpenModel

T = TypeVar("T")
FEW = 100
"""Batches below which a 99th percentile would be the maximum under another name."""


@dataclass(frozen=True)
class PointToTime:
    """A point of an arm, and the record that its timings belong to."""

    arm: OpenModel
    point: OperatingPoint
    record_id: str


@dataclass
class SpeedMeter:
    """Times arms of one backbone on one split's images.

    Units: ``dense_macs`` MACs an image by ``rule``. ``device_name`` is the device's model.
    """

    source: ImageSource
    settings: SpeedSettings
    backbone: nn.Module
    dense_macs: float
    rule: Rule
    device: torch.device
    device_name: str
    _pixels: dict[Preprocessing, Tensor] = field(default_factory=dict)
    _dense: TimedModel | None = None

    @property
    def threads(self) -> int | None:
        """Processor threads; None on an accelerator."""
        return torch.get_num_threads() if self.device.type == "cpu" else None

    def question(self, batch_size: int) -> Mapping[str, JsonValue]:
        """What a timing is asked, apart from whose: everything that may change the answer, but for chance."""
        settings = self.settings
        return {
            "device": self.device_name,
            "dtype": settings.dtype,
            "threads": self.threads,
            "compile": settings.compile,
            "batch_size": batch_size,
            "images_seed": settings.seed,
        }

    def timings(
        self, arm: OpenModel, point: OperatingPoint, wanted: Callable[[int], bool], tick: Callable[[int], None]
    ) -> Iterator[Timing]:
        """The batch sizes of a point, each as it is done."""
        if self._dense is None:
            self._dense = timed_dense(self.backbone, self.settings.dtype, self.device)
        if arm.preprocessing not in self._pixels:
            settings = self.settings
            self._pixels[arm.preprocessing] = drawn_pixels(
                self.source, arm.preprocessing, settings.images, settings.seed
            )
        test = SpeedTest(
            dense=self._dense,
            method=timed_predict(arm.model, point, self.settings.dtype, self.device, _called(arm, point)),
            pixels=self._pixels[arm.preprocessing],
            dense_macs=self.dense_macs,
            device=self.device,
            timer=self._stopwatch,
            meter=self._meter,
            rule=self.rule,
            tick=tick,
        )
        yield from test.ladder(self.settings, wanted)

    def record(self, timing: Timing) -> SpeedRecord:
        """What is written of a timing."""
        milliseconds = 1e3 * np.asarray(timing.latencies)
        p50, p95, p99 = (float(value) for value in np.percentile(milliseconds, [50, 95, 99]))
        found = [turn.speedup for turn in timing.comparison.quiet]
        return SpeedRecord(
            device=self.device_name,
            dtype=self.settings.dtype,
            batch_size=timing.batch_size,
            threads=self.threads,
            execution_mode=timing.mode,
            latency_p50_ms=p50,
            latency_p95_ms=p95,
            latency_p99_ms=p99 if len(milliseconds) >= FEW else None,
            images_per_s=timing.images_per_s,
            peak_memory_mb=_mega(timing.peak_bytes),
            dense_execution_mode=timing.dense_mode,
            dense_images_per_s=timing.dense_images_per_s,
            dense_peak_memory_mb=_mega(timing.dense_peak_bytes),
            memory_by=timing.memory_by,
            speedup=timing.realised,
            speedup_low=min(found),
            speedup_high=max(found),
            speedup_promised=timing.promised,
            speedup_share=timing.share,
            energy_mj_per_image=timing.energy_mj,
            dense_energy_mj_per_image=timing.dense_energy_mj,
            images=timing.images,
            different_images=timing.different_images,
            images_seed=self.settings.seed,
            batches_timed=len(milliseconds),
            rounds_kept=len(found),
            rounds_run=len(timing.comparison.rounds),
            warmup_runs=timing.warmup_runs,
            batch_size_asked=None if timing.asked == timing.batch_size else timing.asked,
        )

    @property
    def _stopwatch(self) -> Timer:
        return timer_for(self.device)

    @property
    def _meter(self) -> Meter | None:
        return meter_for(self.device)


@dataclass(frozen=True)
class SpeedRun:
    """Times points and writes a line for each batch size as it is done; what is written already is not timed again.

    A line with fewer quiet rounds than are asked for is: the machine was busy, and where it is quieter now the new line
    stands in the place of the old.
    """

    meter: SpeedMeter
    store: SpeedStore
    environment: Environment
    command: str
    git_sha: str | None

    def run(self, points: Sequence[PointToTime]) -> None:
        """All that is missing, with the time left."""
        rounds, sizes = self.meter.settings.rounds, sorted(set(self.meter.settings.batches))
        kept = {line.key: line.measured.rounds_kept or 0 for line in self.store.read()}
        todo = [(each, self._missing(each, sizes, kept)) for each in points]
        total = sum(expected_images(size, rounds) for _, missing in todo for size in missing)
        with Progress("speed", total) as progress:
            for each, missing in todo:
                if missing:
                    self._time(each, missing, kept, progress)

    def _missing(self, each: PointToTime, sizes: Sequence[int], kept: Mapping[str, int]) -> list[int]:
        return [size for size in sizes if kept.get(self._key(each, size), 0) < self.meter.settings.rounds]

    def _time(self, each: PointToTime, missing: Sequence[int], kept: Mapping[str, int], progress: Progress) -> None:
        start = time.monotonic()
        share = sum(expected_images(size, self.meter.settings.rounds) for size in missing)
        tick = up_to(share, progress, each.arm.label)
        for timing in self.meter.timings(each.arm, each.point, missing.__contains__, tick):
            if len(timing.comparison.kept) > kept.get(self._key(each, timing.asked), 0):
                self._write(each, timing, time.monotonic() - start)
            start = time.monotonic()
        tick(share)

    def _write(self, each: PointToTime, timing: Timing, seconds: float) -> None:
        self.store.append(
            SpeedFollowUp(
                record_id=each.record_id,
                key=self._key(each, timing.asked),
                question=dict(self.meter.question(timing.asked)),
                measured=self.meter.record(timing),
                environment=self.environment,
                command=self.command,
                git_sha=self.git_sha,
                date_utc=datetime.now(UTC),
                wall_s=round(seconds, 3),
            )
        )

    def _key(self, each: PointToTime, size: int) -> str:
        return follow_up_key(each.record_id, self.meter.question(size))


def check_speed(settings: SpeedSettings, device: torch.device) -> None:
    """Raises: ``InputError`` for what would spoil the timings, or cannot be done on this machine."""
    if launched() > 1:
        raise InputError(
            f"speed is measured by one process, and {launched()} were started, which would slow each other: run the "
            "bench on them without --speed, then once more without a launcher and with it; it goes on from there"
        )
    if settings.compile:
        check_compile(device)


def up_to(share: int, progress: Progress, note: str = "") -> Callable[[int], None]:
    """Advances ``progress`` by no more than ``share`` in all: on a busy machine more runs than was reckoned with."""
    ticked = 0

    def tick(images: int) -> None:
        nonlocal ticked
        step = max(min(images, share - ticked), 0)
        ticked += step
        progress.advance(step, note)

    return tick


def device_model(device: torch.device) -> str:
    """What a timing says it ran on: a processor's model, an accelerator's."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return (capture().cpu or "cpu") if device.type == "cpu" else device.type


def spread(items: Sequence[T], count: int) -> list[T]:
    """``count`` of the items, evenly from the first to the last; all where there are no more.

    >>> spread("abcdefgh", 3), spread("ab", 3), spread("abc", 1)
    (['a', 'e', 'h'], ['a', 'b'], ['b'])
    """
    if count >= len(items):
        return list(items)
    if count == 1:
        return [items[len(items) // 2]]
    return [items[round(place)] for place in np.linspace(0, len(items) - 1, count)]


def _called(arm: OpenModel, point: OperatingPoint) -> str:
    """The arm and the point, so that a warning of one is not taken for another's."""
    knobs = (f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}" for name, value in point.items())
    return " ".join([arm.label, *knobs])


def _mega(count: int | None) -> float | None:
    return None if count is None else count / 1e6
