"""Measuring arms at points: what is recorded already is not measured again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from accelerate import PartialState
from accelerate.utils import broadcast_object_list, gather_object

from dynvit.data.pixels import PixelBatches
from dynvit.data.source import ImageSource
from dynvit.data.transforms import Preprocessing
from dynvit.interface import DynamicModel, OperatingPoint
from dynvit.leaderboard.per_sample import ANSWERS, PerSampleResults, PerSampleStore, images_hash, pack
from dynvit.leaderboard.record import Record
from dynvit.leaderboard.store import RunStore
from dynvit.measurements.accuracy.evaluate import SampleResults, evaluate
from dynvit.measurements.accuracy.record import Context
from dynvit.progress import Progress
from dynvit.session.open_model import OpenModel


@dataclass(frozen=True)
class Target:
    """A point to measure, and the budget it was solved for. Units: ``gmacs`` GMACs per image."""

    point: OperatingPoint
    gmacs: float | None = None


@dataclass
class Measurer:
    """One split's images, decoded once, and the records measured on them.

    Every process measures its share of the batches; the first one writes. All have the same records.
    """

    source: ImageSource
    context: Context
    store: RunStore
    state: PartialState
    batch_size: int
    workers: int
    memory_mb: int
    known: dict[str, Record] = field(default_factory=dict)
    _pixels: dict[Preprocessing, PixelBatches] = field(default_factory=dict)

    def load_known(self) -> None:
        """Read what is recorded; the other processes learn it from the first."""
        records = [self.store.read() if self.state.is_main_process else []]
        broadcast_object_list(records)
        self.known = {record.record_id: record for record in records[0]}

    def missing(self, arm: OpenModel, targets: Sequence[Target]) -> list[Target]:
        """Those of the targets that no record answers, each point once."""
        wanted: dict[str, Target] = {}
        for target in targets:
            wanted.setdefault(self.context.record_id(arm, target.point), target)
        return [target for name, target in wanted.items() if name not in self.known]

    def images(self, arm: OpenModel) -> int:
        """Images of this process's share."""
        return self.batches(arm).images

    def measure(self, arm: OpenModel, targets: Sequence[Target], progress: Progress) -> None:
        """Measure and record what is missing: together where the method's points share work, else one by one."""
        missing = self.missing(arm, targets)
        together = type(arm.model).sweep is not DynamicModel.sweep
        for group in [missing] if together and missing else [[target] for target in missing]:
            self._measure(arm, group, progress)

    def record(self, arm: OpenModel, point: OperatingPoint) -> Record:
        """The record of a point that was measured. Raises: ``KeyError`` where it was not."""
        return self.known[self.context.record_id(arm, point)]

    def batches(self, arm: OpenModel) -> PixelBatches:
        """The images as the arm wants them; arms that want them alike share the decoded pixels."""
        if arm.preprocessing not in self._pixels:
            self._pixels[arm.preprocessing] = PixelBatches(
                self.source,
                arm.preprocessing,
                batch_size=self.batch_size,
                workers=self.workers,
                memory_mb=self.memory_mb,
                rank=self.state.process_index,
                world=self.state.num_processes,
            )
        return self._pixels[arm.preprocessing]

    def forget_pixels(self) -> None:
        """Give the memory of decoded images back: they are not asked for again."""
        self._pixels.clear()

    def _measure(self, arm: OpenModel, targets: Sequence[Target], progress: Progress) -> None:
        batches = self.batches(arm)
        points = [target.point for target in targets]
        own = evaluate(
            arm.model.to(self.state.device),
            points,
            batches,
            device=self.state.device,
            rule=self.context.rule,
            after_batch=lambda images: progress.advance(images * len(points), arm.label),
        )
        shares: list[tuple[list[SampleResults], dict[str, str]]] = gather_object([(own, batches.bad)])
        bad = {key for _, bad_here in shares for key in bad_here}
        for index, target in enumerate(targets):
            first, *others = (results[index] for results, _ in shares)
            results = first.merged(others)
            record = [
                self.context.record(arm, target.point, target.gmacs, results, len(bad) + self.source.lost)
                if self.state.is_main_process
                else None
            ]
            broadcast_object_list(record)
            assert record[0] is not None
            if self.state.is_main_process:
                if record[0].role == "report":
                    self._keep(record[0].record_id, results)
                self.store.append(record[0])
            self.known[record[0].record_id] = record[0]

    def _keep(self, record_id: str, results: SampleResults) -> None:
        """Which images were answered right, so that records can be paired image by image."""
        answers = PerSampleResults(
            record_id=record_id,
            n=len(results.ids),
            images=images_hash(results.ids),
            right=pack(results.rank == 0),
        )
        store = PerSampleStore(self.store.path.with_name(ANSWERS))
        store.append(answers)
        store.close()
