"""The bootstrap of a board's methods, from the per-sample results of its records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from dynvit.leaderboard.board import MethodSummary, Objective
from dynvit.leaderboard.bootstrap import Front, MethodBootstrap, bootstrap, offers
from dynvit.leaderboard.per_sample import PerSampleResults
from dynvit.leaderboard.record import Record, is_static


def with_bootstraps(
    methods: Iterable[MethodSummary],
    by_method: Mapping[str, Sequence[Record]],
    kept: Mapping[str, PerSampleResults],
    objectives: tuple[Objective, Objective],
) -> tuple[MethodSummary, ...]:
    """The summaries of a board's methods with what images and seeds leave open of them, where that is known.

    Args:
        methods: without.
        by_method: their records.
        kept: per-sample results, by record id.
        objectives: of the board.

    Returns: the summaries, in the same order.
    """
    found = bootstraps(by_method, kept, objectives)
    return tuple(method.model_copy(update={"bootstrap": found.get(method.name)}) for method in methods)


def bootstraps(
    by_method: Mapping[str, Sequence[Record]],
    kept: Mapping[str, PerSampleResults],
    objectives: tuple[Objective, Objective],
) -> dict[str, MethodBootstrap]:
    """By method; empty where a record's per-sample results were not kept, or are of other images.

    The static backbone alone is no method: it saves nothing, and is not ranked.
    """
    ranked = {name: own for name, own in by_method.items() if not all(is_static(record) for record in own)}
    ids = [record.record_id for own in ranked.values() for record in own]
    if not ids or not kept.keys() >= set(ids) or len({kept[name].images for name in ids}) > 1:
        return {}
    dense_gmacs = objectives[0].reference
    return bootstrap(offers({name: _fronts(own, kept) for name, own in ranked.items()}, dense_gmacs))


def _fronts(records: Sequence[Record], kept: Mapping[str, PerSampleResults]) -> dict[int, Front]:
    """By the seed of the training. What was not trained stands with the first of the seeds."""
    import numpy as np

    seeds = sorted({record.seeds.training for record in records if record.seeds.training is not None}) or [0]
    of_seed: dict[int, list[Record]] = {seed: [] for seed in seeds}
    for record in records:
        of_seed[seeds[0] if record.seeds.training is None else record.seeds.training].append(record)
    return {
        seed: Front(
            np.array([record.compute.gmacs_mean for record in own]),
            np.stack([kept[record.record_id].bits() for record in own]),
        )
        for seed, own in of_seed.items()
    }
