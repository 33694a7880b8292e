"""Accuracy and compute of models at points: what makes a record, on which all other measurements stand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from accelerate.utils import gather_object

from dynvit.interface import DynamicModel, OperatingPoint
from dynvit.leaderboard.lines import UnwrittenLines
from dynvit.leaderboard.per_sample import PER_SAMPLE, PerSampleResults, PerSampleStore, images_hash, pack
from dynvit.leaderboard.record import Record
from dynvit.leaderboard.store import RUNS, RunStore
from dynvit.measurements.accuracy.evaluate import SampleResults, evaluate
from dynvit.measurements.accuracy.record import Target as Target
from dynvit.measurements.accuracy.record import name_of, record_of
from dynvit.measurements.run import Run
from dynvit.measurements.runner import Lines
from dynvit.measurements.task import MeasuredPoint
from dynvit.progress import Progress
from dynvit.session import OpenModel


@dataclass
class Recorder:
    """Measures points on one split, and records each once: what is recorded already is not measured again.

    Every process measures its share of the batches; the first one writes, or nobody where ``keeps`` is False. All have
    the same records.
    """

    run: Run
    lines: Lines[Record]
    keeps: bool = True

    @classmethod
    def of(cls, run: Run) -> Recorder:
        """Into the file of the run's folder."""
        return cls(run, Lines(run, RunStore(run.folder / RUNS)))

    @classmethod
    def of_nothing(cls, run: Run) -> Recorder:
        """Into no file."""
        return cls(run, Lines(run, UnwrittenLines(Record, "record_id")), keeps=False)

    def on(self, run: Run) -> Recorder:
        """Into the same file, of other images."""
        return Recorder(run, self.lines, self.keeps)

    def missing(self, opened: OpenModel, targets: Sequence[Target]) -> list[Target]:
        """Those of the targets that no record answers, each point once."""
        wanted: dict[str, Target] = {}
        for target in targets:
            wanted.setdefault(name_of(opened, target.point, self.run), target)
        return [target for name, target in wanted.items() if name not in self.lines.known]

    def images(self, opened: OpenModel) -> int:
        """Images of this process's share."""
        return self.run.batches(opened.preprocessing).images

    def measure(self, opened: OpenModel, targets: Sequence[Target], progress: Progress) -> list[MeasuredPoint]:
        """Measure and record what is missing: together where the method's points share work, else one by one.

        Returns every target's point with its record, each point once.
        """
        missing = self.missing(opened, targets)
        together = type(opened.model).sweep is not DynamicModel.sweep
        for group in [missing] if together and missing else [[target] for target in missing]:
            self._measure(opened, group, progress)
        return [self.measured(opened, point) for point in dict.fromkeys(target.point for target in targets)]

    def measured(self, opened: OpenModel, point: OperatingPoint) -> MeasuredPoint:
        """A point with its record, where there is one."""
        name = name_of(opened, point, self.run)
        return MeasuredPoint(opened, point, name, self.lines.known.get(name))

    def _measure(self, opened: OpenModel, targets: Sequence[Target], progress: Progress) -> None:
        run = self.run
        batches = run.batches(opened.preprocessing)
        points = [target.point for target in targets]
        own = evaluate(
            opened.model.to(run.device),
            points,
            batches,
            device=run.device,
            rule=run.session.request.rule,
            after_batch=lambda images: progress.advance(images * len(points), opened.label),
            who=f"model {opened.label!r}",
        )
        shares: list[tuple[list[SampleResults], dict[str, str]]] = gather_object([(own, batches.bad)])
        bad = {key for _, bad_here in shares for key in bad_here}
        for index, target in enumerate(targets):
            first, *others = (results[index] for results, _ in shares)
            self._record(opened, target, first.merged(others), len(bad) + run.source.lost)

    def _record(self, opened: OpenModel, target: Target, results: SampleResults, n_bad: int) -> None:
        def make() -> Record:
            record = record_of(opened, target, results, n_bad, self.run)
            if self.keeps and record.role == "report":
                self._keep(record.record_id, results)
            return record

        self.lines.add(make)

    def _keep(self, record_id: str, results: SampleResults) -> None:
        """Which images were answered right, so that records can be paired image by image."""
        line = PerSampleResults(
            record_id=record_id,
            n=len(results.ids),
            images=images_hash(results.ids),
            right=pack(results.rank == 0),
        )
        store = PerSampleStore(self.run.folder / PER_SAMPLE)
        store.append(line)
        store.close()
