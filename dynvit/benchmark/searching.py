"""Points that a sampler finds on the calibration split; what it sees there is recorded too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

from dynvit.benchmark.points import only_point, published
from dynvit.errors import InputError
from dynvit.interface import OperatingPoint
from dynvit.knobs import point_said
from dynvit.measurements.accuracy.measure import Recorder, Target
from dynvit.measurements.base import Measurement
from dynvit.measurements.runner import Runner
from dynvit.measurements.task import MeasuredPoint
from dynvit.progress import Progress
from dynvit.search import Objectives, search
from dynvit.session import OpenModel


def search_points(
    opened: OpenModel,
    recorder: Recorder,
    sampler: Literal["nsga2", "tpe"],
    trials: int,
    seed: int,
    measurements: Sequence[Measurement[Any, Any, Any]],
    begun: int,
) -> list[Target]:
    """The points of one model that no other dominates on calibration.

    Args:
        opened: the model.
        recorder: what the points are measured by afterwards.
        sampler: Optuna's, by name.
        trials: points that it may look at.
        seed: of the sampler.
        measurements: one that is searchable gives a third objective.
        begun: trials that the search in this folder was begun with; more continue it.
    """
    if not opened.knobs:
        return [only_point(opened)]
    run = recorder.run
    source = run.session.split("calibration", quiet=not run.first)
    seen = replace(run, role="search", source=source, limit=None, search_seed=seed)
    recorder = recorder.on(seen)
    third = next((Runner(one, seen) for one in measurements if one.searchable), None)
    total = trials * recorder.images(opened)
    with Progress(f"search {opened.label}", total, quiet=not run.first) as progress:

        def measure(point: OperatingPoint) -> Objectives:
            [at] = recorder.measure(opened, [Target(point)], progress)
            worth = Objectives(at.record.accuracy.top1_pct, at.record.compute.gmacs_mean)
            return worth if third is None else replace(worth, third=_third(at, third))

        several = 2 if third is None else 3
        points = search(opened.knobs, sampler, trials, seed, measure, objectives=several, begun=begun)
    return [*(Target(point) for point in points), *published(opened)]


def _third(at: MeasuredPoint, runner: Runner) -> float:
    """What a searchable measurement says of a point. Raises: ``InputError`` where it says nothing."""
    measurement = runner.measurement
    worth = measurement.measurer.objective(at, runner)
    if worth is None:
        raise InputError(
            f"measurement {measurement.name!r} must give a search a number at every point, got None at "
            f"{point_said(at.point)} of {at.opened.label}: leave it out, or give --sampler budgets"
        )
    return worth
