"""What the bench costs over the bare forward passes: loading, decoding, counting, recording.

    python benchmarks/bench_overhead.py --data-dir DIR [--limit 256] [--method topk]

A sweep runs through the bench's ``Recorder``. After each batch of each point the same forward pass runs once more on
tensors that are ready, so that a slow moment of the machine meets both.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from _measure import Row, report, run
from _models import opened
from torch import Tensor

from dynvit.budgets import common_budgets, noise_batch
from dynvit.data.pixels import PixelBatches, to_pixels
from dynvit.errors import InputError
from dynvit.interface import DynamicModel, OperatingPoint
from dynvit.leaderboard.store import RUNS, RunStore
from dynvit.measurements.accuracy.measure import Recorder
from dynvit.measurements.accuracy.record import Target
from dynvit.measurements.run import Run
from dynvit.processes import process_state
from dynvit.progress import Progress
from dynvit.session import OpenModel, SessionRequest
from dynvit.solving import solver_for

WANTED_PCT = 10.0


class Alternating(Progress):
    """The bench's progress, which after each batch runs the bare forward pass, and keeps the two times apart.

    Units: ``bench`` and ``bare`` in seconds.
    """

    def __init__(self, model: DynamicModel, ready: list[Tensor], points: int) -> None:
        super().__init__("sweep", points * sum(map(len, ready)))
        self.model, self.ready = model, ready
        self.bench = self.bare = 0.0
        self._point, self._batch, self._since = OperatingPoint(), 0, 0.0

    def begin(self, point: OperatingPoint) -> None:
        """The bench's time runs from here; ``point`` is what it measures."""
        self._point, self._batch, self._since = point, 0, time.perf_counter()

    def end(self) -> None:
        """The bench's time stops here."""
        self.bench += time.perf_counter() - self._since

    def advance(self, amount: int = 1, note: str = "") -> None:
        """Called by the bench between two batches."""
        super().advance(amount, note)
        self.end()
        start = time.perf_counter()
        self.model.predict(self.ready[self._batch], self._point)
        self._since = time.perf_counter()
        self.bare += self._since - start
        self._batch += 1


@dataclass(frozen=True)
class Sweep:
    """What was measured. Units: seconds."""

    bench: float
    bare: float
    images: int
    decoded: int
    records: int

    @property
    def overhead_pct(self) -> float:
        """How much longer the bench takes, in percent of the bare passes."""
        return 100 * (self.bench / self.bare - 1)


def sweep(method: str, request: SessionRequest, folder: Path, points: int, batch_size: int, workers: int = 0) -> Sweep:
    """Measure a method, with drawn weights, at so many points; the records go to ``folder``."""
    session, model = opened(method, **request.model_dump(exclude_unset=True))
    source = session.split(limit=request.limit)
    chosen = budget_points(model, points)
    batches = PixelBatches(source, model.preprocessing, batch_size=batch_size, memory_mb=0)
    between = Alternating(model.model, [to_pixels(batch.images) for batch in batches], len(chosen))
    with torch.inference_mode():
        model.model.predict(between.ready[0], chosen[0])
    between.begin(chosen[0])
    run = Run(
        session,
        session.split(limit=request.limit),
        folder,
        process_state("cpu"),
        "python benchmarks/bench_overhead.py",
        limit=request.limit,
        batch_size=batch_size,
        workers=workers,
    )
    recorder = Recorder.of(run)
    with recorder.lines.writing():
        between.end()
        for point in chosen:
            between.begin(point)
            recorder.measure(model, [Target(point)], between)
            between.end()
    written = RunStore(folder / RUNS).read()
    return Sweep(between.bench, between.bare, len(source), run.batches(model.preprocessing).decoded, len(written))


def budget_points(model: OpenModel, count: int) -> list[OperatingPoint]:
    """The points of so many budgets, as the bench solves them."""
    if model.method.adaptive_cost or model.method.budget_knob is None:
        raise InputError(
            f"method {model.name!r} has no budgets that drawn weights decide: take topk, random or dynamicvit"
        )
    size = model.preprocessing.image_size
    solver = solver_for(model.model, model.method.budget_knob, model.knobs, [noise_batch((size, size))])
    assert solver is not None
    return list(solver.solve(common_budgets([solver.range()], count)))


def main(
    data_dir: str | None = None,
    dataset: str = "",
    method: str = "topk",
    backbone: str | None = None,
    limit: int | None = None,
    points: int = 8,
    batch_size: int = 64,
    workers: int = 0,
) -> None:
    """Sweep --limit images (default: the whole validation split) of imagenet, or of digits without --data-dir."""
    given = {"data_dir": data_dir, "backbone": backbone, "limit": limit}
    request = SessionRequest(
        dataset=dataset or ("imagenet" if data_dir else "digits"),
        **{name: value for name, value in given.items() if value is not None},
    )
    with tempfile.TemporaryDirectory() as folder:
        found = sweep(method, request, Path(folder), points, batch_size, workers)
    report(
        f"{found.records} points of {method} on {found.images} images of {request.dataset}",
        [
            Row("images decoded", str(found.decoded), str(found.images), found.decoded == found.images),
            Row("records written", str(found.records), str(points), found.records == points),
            Row("bare forward passes, s", f"{found.bare:.2f}"),
            Row("through the bench, s", f"{found.bench:.2f}"),
            Row("overhead", f"{found.overhead_pct:.1f} %", f"≤ {WANTED_PCT:g} %", found.overhead_pct <= WANTED_PCT),
        ],
    )


if __name__ == "__main__":
    run(main)
