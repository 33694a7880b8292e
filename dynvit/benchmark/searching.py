"""Points that a sampler finds on the calibration split; what it sees there is recorded too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

from dynvit.benchmark.points import only_point
from dynvit.interface import OperatingPoint
from dynvit.measurements.accuracy.measure import Recorder, Target
from dynvit.measurements.base import Measurement
from dynvit.measurements.runner import Runner
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
) -> list[Target]:
    """The points of one model that no other dominates on calibration.

    Args:
        opened: the model.
        recorder: what the points are measured by afterwards.
        sampler: Optuna's, by name.
        trials: points that it may look at.
        seed: of the sampler.
        measurements: one that is searchable gives a third objective.
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
            return worth if third is None else replace(worth, third=third.measurement.measurer.objective(at, third))

        points = search(opened.knobs, sampler, trials, seed, measure, objectives=2 if third is None else 3)
    return [Target(point) for point in points]
