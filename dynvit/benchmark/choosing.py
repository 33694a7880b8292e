"""Which points of each model a bench measures: one that is given, budgets, or what a search finds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from dynvit.benchmark.config import BenchConfig
from dynvit.benchmark.identity import trials_begun
from dynvit.benchmark.points import Budgets
from dynvit.benchmark.searching import search_points
from dynvit.interface import OperatingPoint
from dynvit.measurements.accuracy.measure import Recorder
from dynvit.measurements.accuracy.record import Target
from dynvit.measurements.base import Measurement
from dynvit.session import OpenModel, Session


def points_of(
    config: BenchConfig,
    models: Sequence[OpenModel],
    recorder: Recorder,
    measurements: Sequence[Measurement[Any, Any, Any]],
    given: OperatingPoint | None,
    common: Sequence[float] | None = None,
) -> Mapping[str, Sequence[Target]]:
    """The points by model label.

    Args:
        config: of the bench.
        models: all that are compared, which meet at the same budgets.
        recorder: knows what was measured already.
        measurements: that a search may have as an objective.
        given: the one point to measure; None: budgets or a search, as configured.
        common: the budgets of all models of the bench, where these are not all; MACs an image.
    """
    run = recorder.run
    if given is not None:
        return {opened.label: [Target(given)] for opened in models}
    if config.sampler == "budgets":
        return replace(budgets_of(config, run.session), common=common).points(models)
    sampler, trials, begun = config.sampler, config.trials, trials_begun(run.folder, config)
    return {
        opened.label: search_points(opened, recorder, sampler, trials, config.seed, measurements, begun)
        for opened in models
    }


def budgets_of(config: BenchConfig, session: Session) -> Budgets:
    """The budgets that a bench asks for."""
    return Budgets(
        session,
        config.budgets,
        config.points,
        config.batch_size,
        by=config.solve,
        trials=config.trials,
        seed=config.seed,
    )
