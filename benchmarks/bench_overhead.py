"""What the bench costs over the bare forward passes: loading, decoding, counting, recording.

    python benchmarks/bench_overhead.py --data-dir DIR [--limit 256] [--method topk]

A sweep runs through the bench's ``Measurer``. After each batch of each point the same forward pass runs once more on
tensors that are ready, so that a slow moment of the machine meets both.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from _measure import Row, report, run
from accelerate import PartialState
from torch import Tensor

from dynvit.backbones.build import build, describe
from dynvit.backbones.dense import dense_macs
from dynvit.benchmark.config import BenchConfig, load_config
from dynvit.budgets import CostRange, common_budgets, solver_for
from dynvit.data import ImageSource, open_split
from dynvit.data.pixels import PixelBatches, to_pixels
from dynvit.data.transforms import preprocessing_for
from dynvit.environment import capture
from dynvit.errors import InputError
from dynvit.interface import Batch, DynamicModel, OperatingPoint, methods
from dynvit.leaderboard.store import RunStore
from dynvit.measurements.accuracy.measure import Measurer, Target
from dynvit.measurements.accuracy.record import Context
from dynvit.progress import Progress
from dynvit.session.dataset import backbone_for
from dynvit.session.open_model import OpenModel
from dynvit.units import GIGA

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


def sweep(config: BenchConfig, folder: Path) -> Sweep:
    """Measure the first method, with drawn weights, at ``config.points`` points; its records go to ``folder``."""
    opened = partial(
        open_split, config.dataset, config.split, data_dir=config.data_dir, seed=config.seed, limit=config.limit
    )
    source = opened()
    arm = _arm(config, source)
    points = _points(arm, config.points)
    batches = PixelBatches(source, arm.preprocessing, batch_size=config.batch_size, memory_mb=0)
    between = Alternating(arm.model, [to_pixels(batch.images) for batch in batches], len(points))
    with torch.inference_mode():
        arm.model.predict(between.ready[0], points[0])
    with RunStore(folder / "runs.jsonl") as store:
        between.begin(points[0])
        source = opened()
        context, state = _context(config, arm, source), PartialState(cpu=True)
        measurer = Measurer(source, context, store, state, config.batch_size, config.workers, config.memory_mb)
        measurer.load_known()
        between.end()
        for point in points:
            between.begin(point)
            measurer.measure(arm, [Target(point)], between)
            between.end()
        return Sweep(between.bench, between.bare, len(source), measurer.batches(arm).decoded, len(store.read()))


def _arm(config: BenchConfig, source: ImageSource) -> OpenModel:
    name = config.methods[0]
    kind = methods.get(name)
    spec = backbone_for(config.backbone_name, source.spec)
    backbone = build(spec)
    info, preprocessing = describe(spec, backbone), preprocessing_for(vars(backbone)["pretrained_cfg"], source.spec)
    options = kind.Options()
    return OpenModel(name, name, kind(), options, kind().attach(backbone, options).eval(), info, preprocessing)


def _points(arm: OpenModel, count: int) -> list[OperatingPoint]:
    """The rungs of the bench's own ladder."""
    if arm.method.adaptive_cost or arm.method.budget_knob is None:
        raise InputError(
            f"method {arm.name!r} has no ladder that drawn weights decide: take topk, random or dynamicvit"
        )
    size = arm.preprocessing.image_size
    noise = Batch(torch.rand(1, 3, size, size), torch.zeros(1, dtype=torch.int64), torch.zeros(1, 1))
    ladder = solver_for(arm.model, arm.method.budget_knob, arm.knobs, [noise])
    assert ladder is not None
    reach = ladder.range()
    return list(ladder.solve(common_budgets([CostRange(reach.low, reach.high)], count)))


def _context(config: BenchConfig, arm: OpenModel, source: ImageSource) -> Context:
    return Context(
        role="report",
        dataset=config.dataset,
        split=config.split,
        manifest_sha256=source.manifest.sha256,
        n_expected=source.expected,
        limit=config.limit,
        rule=config.rule,
        dense_gmacs=dense_macs(arm.model.backbone, config.rule) / GIGA,
        data_seed=config.seed,
        search_seed=None,
        environment=capture(),
        command="python benchmarks/bench_overhead.py",
        git_sha=None,
    )


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
    given: dict[str, str | int | None] = {
        "methods": method,
        "dataset": dataset or ("imagenet" if data_dir else "digits"),
        "data_dir": data_dir,
    }
    given |= {"backbone": backbone, "limit": limit, "points": points, "batch_size": batch_size, "workers": workers}
    config = load_config(None, {name: value for name, value in given.items() if value is not None})
    with tempfile.TemporaryDirectory() as folder:
        found = sweep(config, Path(folder))
    report(
        f"{found.records} points of {method} on {found.images} images of {config.dataset}, {config.backbone_name}",
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
