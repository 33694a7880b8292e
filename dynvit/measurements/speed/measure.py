"""Timing points beside the dense backbone, batch size by batch size."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from pydantic import JsonValue
from torch import Tensor

from dynvit.data.drawn import drawn_pixels
from dynvit.data.transforms import Preprocessing
from dynvit.interface import OperatingPoint
from dynvit.measurements.run import Run, device_model
from dynvit.measurements.speed.energy import meter_for
from dynvit.measurements.speed.result import SpeedResult
from dynvit.measurements.speed.settings import SpeedSettings
from dynvit.measurements.speed.speed_test import SpeedTest
from dynvit.measurements.speed.timed_model import TimedModel, timed_dense, timed_predict
from dynvit.measurements.speed.timer import timer_for
from dynvit.measurements.speed.timing import Timing, expected_images, round_images
from dynvit.measurements.task import MeasuredPoint, Task
from dynvit.progress import Progress
from dynvit.session import OpenModel

FEW = 100
"""Batches below which a 99th percentile would be the maximum under another name."""


@dataclass(frozen=True)
class SpeedTask(Task):
    """One point at one batch size."""

    batch_size: int


@dataclass(frozen=True)
class SpeedShare:
    """A timing, and how long it took. One process measures alone."""

    timing: Timing
    seconds: float

    def merged(self, others: Iterable[SpeedShare]) -> SpeedShare:
        """As it is."""
        return self


@dataclass
class SpeedMeter:
    """Times models of one backbone on one split's images."""

    settings: SpeedSettings
    run: Run
    _pixels: dict[Preprocessing, Tensor] = field(default_factory=dict)
    _dense: TimedModel | None = None

    @property
    def device(self) -> torch.device:
        """What is timed on."""
        return self.run.device

    @property
    def threads(self) -> int | None:
        """Processor threads; None on an accelerator."""
        return torch.get_num_threads() if self.device.type == "cpu" else None

    @property
    def seed(self) -> int:
        """Draws the images."""
        return self.run.session.data_seed

    def tasks(self, points: Sequence[MeasuredPoint]) -> Iterator[SpeedTask]:
        """Every batch size of every point."""
        for at in points:
            for size in sorted(set(self.settings.batches)):
                yield SpeedTask(at, self.config(size), size, work=expected_images(size, self.settings.rounds))

    def config(self, batch_size: int) -> dict[str, JsonValue]:
        """Everything that may change a timing, but for chance."""
        settings = self.settings
        return {
            "device": device_model(self.device),
            "dtype": settings.dtype,
            "threads": self.threads,
            "compile": settings.compile,
            "batch_size": batch_size,
            "images_seed": self.seed,
        }

    def measure(self, tasks: Sequence[SpeedTask], progress: Progress) -> Iterator[tuple[SpeedTask, SpeedShare]]:
        """Each batch size of each point, as it is done."""
        for record_id in dict.fromkeys(task.at.record_id for task in tasks):
            own = {task.batch_size: task for task in tasks if task.at.record_id == record_id}
            first = next(iter(own.values()))
            share = sum(task.work for task in own.values())
            tick = up_to(share, progress, first.at.opened.label)
            start = time.monotonic()
            for timing in self.timings(first.at.opened, first.at.point, own.__contains__, tick):
                yield own[timing.asked], SpeedShare(timing, time.monotonic() - start)
                start = time.monotonic()
            tick(share)

    def timings(
        self, opened: OpenModel, point: OperatingPoint, wanted: Callable[[int], bool], tick: Callable[[int], None]
    ) -> Iterator[Timing]:
        """The batch sizes of a point, each as it is done."""
        if self._dense is None:
            self._dense = timed_dense(self.run.session.untrained(), self.settings.dtype, self.device)
        if opened.preprocessing not in self._pixels:
            count = max(round_images(size) for size in self.settings.batches)
            self._pixels[opened.preprocessing] = drawn_pixels(self.run.source, opened.preprocessing, count, self.seed)
        test = SpeedTest(
            dense=self._dense,
            method=timed_predict(opened.model, point, self.settings.dtype, self.device, _called(opened, point)),
            pixels=self._pixels[opened.preprocessing],
            dense_macs=self.run.session.dense_macs,
            device=self.device,
            timer=timer_for(self.device),
            meter=meter_for(self.device),
            rule=self.run.session.request.rule,
            tick=tick,
        )
        yield from test.sizes(self.settings, wanted)

    def result(self, timing: Timing) -> SpeedResult:
        """What is written of a timing."""
        milliseconds = 1e3 * np.asarray(timing.latencies)
        p50, p95, p99 = (float(value) for value in np.percentile(milliseconds, [50, 95, 99]))
        found = [round.speedup for round in timing.comparison.valid]
        return SpeedResult(
            device=device_model(self.device),
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
            speedup_theoretical=timing.theoretical,
            speedup_share=timing.share,
            energy_mj_per_image=timing.energy_mj,
            dense_energy_mj_per_image=timing.dense_energy_mj,
            images=timing.images,
            different_images=timing.different_images,
            images_seed=self.seed,
            batches_timed=len(milliseconds),
            rounds_valid=len(found),
            rounds_run=len(timing.comparison.rounds),
            warmup_runs=timing.warmup_runs,
            batch_size_asked=None if timing.asked == timing.batch_size else timing.asked,
        )


def up_to(share: int, progress: Progress, note: str = "") -> Callable[[int], None]:
    """Advances ``progress`` by no more than ``share`` in all: on a busy machine more runs than was reckoned with."""
    ticked = 0

    def tick(images: int) -> None:
        nonlocal ticked
        step = max(min(images, share - ticked), 0)
        ticked += step
        progress.advance(step, note)

    return tick


def _called(opened: OpenModel, point: OperatingPoint) -> str:
    """The model and the point, so that a warning of one is not taken for another's."""
    knobs = (f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}" for name, value in point.items())
    return " ".join([opened.label, *knobs])


def _mega(count: int | None) -> float | None:
    return None if count is None else count / 1e6
