"""Which points of each model a bench measures: one that is given, budgets, or what a search finds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from dynvit.benchmark.config import BenchConfig
from dynvit.benchmark.points import Budgets
from dynvit.benchmark.searches import Searches as Searches
from dynvit.benchmark.searching import search_points
from dynvit.interface import OperatingPoint
from dynvit.measurements.accuracy.measure import Recorder
from dynvit.measurements.accuracy.record import Target
from dynvit.session import OpenModel, Session
from dynvit.study_storage import StudyCopy as StudyCopy


def points_of(
    searches: Searches,
    models: Sequence[OpenModel],
    recorder: Recorder,
    given: OperatingPoint | None,
    common: Sequence[float] | None,
    copies: Mapping[str, StudyCopy],
) -> Mapping[str, Sequence[Target]]:
    """The points by model label.

    Args:
        searches: of the bench, with its configuration.
        models: all that are compared, which meet at the same budgets.
        recorder: knows what was measured already.
        given: the one point to measure; None: budgets or a search, as configured.
        common: the budgets of all models of the bench, where these are not all; MACs an image.
        copies: the studies in a storage, by model label.
    """
    if given is not None:
        return {opened.label: [Target(given)] for opened in models}
    if searches.config.sampler == "budgets":
        return replace(budgets_of(searches.config, searches.session), common=common).points(models)
    return {one.label: search_points(one, recorder, searches, copies.get(one.label)) for one in models}


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
