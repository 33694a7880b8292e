"""Points that a sampler finds on the calibration split; what it sees there is recorded too."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from dynvit.benchmark.points import only_point, published
from dynvit.benchmark.searches import Searches
from dynvit.errors import InputError
from dynvit.interface import OperatingPoint
from dynvit.knobs import point_said
from dynvit.measurements.accuracy.measure import Recorder, Target
from dynvit.measurements.runner import Runner
from dynvit.measurements.task import MeasuredPoint
from dynvit.progress import Progress
from dynvit.search import Objectives, Search
from dynvit.session import OpenModel
from dynvit.study_storage import StudyCopy


@dataclass(frozen=True)
class Trials:
    """Measures what a search of one model proposes, on calibration. ``third``: of a measurement that it looks at."""

    opened: OpenModel
    recorder: Recorder
    third: Runner | None

    @classmethod
    def of(cls, opened: OpenModel, recorder: Recorder, searches: Searches) -> Trials:
        """``recorder`` is that of the reported split."""
        run = recorder.run
        source = run.session.split("calibration", quiet=not run.first)
        seen = replace(run, role="search", source=source, limit=None, search_seed=searches.config.seed)
        third = None if searches.third is None else Runner(searches.third, seen)
        return cls(opened, recorder.on(seen), third)

    @property
    def images(self) -> int:
        """Images of a trial, this process's share."""
        return self.recorder.images(self.opened)

    def measure(self, point: OperatingPoint, progress: Progress) -> Objectives:
        """What a point is worth, from its record where there is one."""
        [at] = self.recorder.measure(self.opened, [Target(point)], progress)
        worth = Objectives(at.record.accuracy.top1_pct, at.record.compute.gmacs_mean)
        return worth if self.third is None else replace(worth, third=_third(at, self.third))


def search_points(
    opened: OpenModel, recorder: Recorder, searches: Searches, copy: StudyCopy | None = None
) -> Sequence[Target]:
    """The points of one model that no other dominates on calibration.

    Args:
        opened: the model.
        recorder: what the points are measured by afterwards.
        searches: of the bench.
        copy: the study in a storage.
    """
    if not opened.knobs:
        return [only_point(opened)]
    trials = Trials.of(opened, recorder, searches)
    search = Search(opened.knobs, searches.sampling, kept=searches.kept(opened.label))
    total = searches.config.trials * trials.images
    with Progress(f"search {opened.label}", total, quiet=not recorder.run.first) as progress:
        while points := search.ask():
            search.tell([trials.measure(point, progress) for point in points])
            if copy is not None:
                copy.complete(search.asked, search.told)
    return [*(Target(point) for point in search.best()), *published(opened)]


def _third(at: MeasuredPoint, runner: Runner) -> float:
    """What a searchable measurement says of a point. Raises: ``InputError`` where it says nothing."""
    measurement = runner.measurement
    worth = measurement.measurer.objective(at, runner)
    if worth is None or not math.isfinite(worth):
        raise InputError(
            f"measurement {measurement.name!r} must give a search a number at every point, got {worth} at "
            f"{point_said(at.point)} of {at.opened.label}: leave it out, or give --sampler budgets"
        )
    return worth
