"""The bootstrap of a board's methods, from the per-sample results of its records."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from dynvit.leaderboard.board import Entry, MethodSummary, Objective
from dynvit.leaderboard.bootstrap import Front, MethodBootstrap, bootstrap, offers
from dynvit.leaderboard.per_sample import PerSampleResults
from dynvit.leaderboard.record import JsonObject, Record, is_static
from dynvit.leaderboard.training import TrainingRecord, but_seed


@dataclass(frozen=True)
class Ranked:
    """A point as the bootstrap sees it. ``seed``: of its training; ``model``: its options and the rest of the training.

    Units: ``gmacs_mean`` GMACs an image.
    """

    record_id: str
    gmacs_mean: float
    seed: int | None
    static: bool
    model: str = ""

    @classmethod
    def of_record(cls, record: Record) -> Ranked:
        """A record's."""
        model = _model(record.method.options, record.training)
        return cls(record.record_id, record.compute.gmacs_mean, record.seed, is_static(record), model)

    @classmethod
    def of_entry(cls, entry: Entry) -> Ranked:
        """That of an entry whose record is not known."""
        model = _model(entry.options, entry.training)
        return cls(entry.record_id, entry.gmacs_mean, entry.seed, entry.baseline, model)


def with_bootstraps(
    methods: Iterable[MethodSummary],
    by_method: Mapping[str, Sequence[Ranked]],
    kept: Mapping[str, PerSampleResults],
    objectives: tuple[Objective, Objective],
) -> tuple[MethodSummary, ...]:
    """The summaries of a board's methods with what images and seeds leave open of them, where that is known.

    Args:
        methods: without.
        by_method: their points.
        kept: per-sample results, by record id.
        objectives: of the board.

    Returns: the summaries, in the same order.
    """
    found = bootstraps(by_method, kept, objectives)
    return tuple(method.model_copy(update={"bootstrap": found.get(method.name)}) for method in methods)


def bootstraps(
    by_method: Mapping[str, Sequence[Ranked]],
    kept: Mapping[str, PerSampleResults],
    objectives: tuple[Objective, Objective],
) -> dict[str, MethodBootstrap]:
    """By method; empty where a record's per-sample results were not kept, or are of other images.

    The static backbone alone is no method: it saves nothing, and is not ranked.
    """
    ranked = {name: own for name, own in by_method.items() if not all(point.static for point in own)}
    ids = [point.record_id for own in ranked.values() for point in own]
    if not ids or not kept.keys() >= set(ids) or len({kept[name].images for name in ids}) > 1:
        return {}
    dense_gmacs = objectives[0].reference
    return bootstrap(offers({name: _fronts(own, kept) for name, own in ranked.items()}, dense_gmacs))


def _fronts(points: Sequence[Ranked], kept: Mapping[str, PerSampleResults]) -> dict[int, Front]:
    """By the seed of the training. What was not trained stands with the first of the seeds.

    Of several seeds only what each of them trained counts: with a training more, one would have more to choose from.
    Where they share none, the first stands alone.
    """
    import numpy as np

    trained: dict[int, set[str]] = defaultdict(set)
    for point in points:
        if point.seed is not None:
            trained[point.seed].add(point.model)
    shared = set.intersection(*trained.values()) if trained else set()
    seeds = (sorted(trained) if shared else sorted(trained)[:1]) or [0]
    of_seed: dict[int, list[Ranked]] = {seed: [] for seed in seeds}
    for point in points:
        if point.seed is None:
            of_seed[seeds[0]].append(point)
        elif point.seed in of_seed and (len(seeds) == 1 or point.model in shared):
            of_seed[point.seed].append(point)
    return {
        seed: Front(
            np.array([point.gmacs_mean for point in own]),
            np.stack([kept[point.record_id].bits() for point in own]),
        )
        for seed, own in of_seed.items()
    }


def _model(options: JsonObject, training: TrainingRecord | None) -> str:
    return json.dumps([options, but_seed(training)], sort_keys=True)
