"""Several trainings of one thing: what their seeds leave open."""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence

from pydantic import Field

from dynvit.leaderboard.record import Amount, Frozen, JsonObject, Knobs, Name, Percent, Record
from dynvit.leaderboard.training import but_seed


class SeedSpread(Frozen):
    """Records that agree in all but the seed of their training."""

    method: Name = Field(description="method")
    options: JsonObject = Field(description="the method's options")
    target_gmacs: Amount | None = Field(description="GMACs an image that all were asked for; null: by their knobs")
    knobs: Knobs | None = Field(description="knob settings that all share; null: each was solved for the target")
    seeds: tuple[int, ...] = Field(min_length=2, description="seeds of the trainings")
    record_ids: tuple[str, ...] = Field(min_length=2, description="the records, in the order of the seeds")
    top1_mean_pct: Percent = Field(description="top-1 accuracy, mean over the seeds, percent")
    top1_sd_pct: Amount = Field(description="standard deviation over the seeds (n - 1), points")
    gmacs_mean: Amount = Field(description="GMACs an image, mean over the seeds")
    gmacs_sd: Amount = Field(description="standard deviation over the seeds (n - 1), GMACs")


def seed_spreads(records: Iterable[Record]) -> tuple[SeedSpread, ...]:
    """One for each set of two or more seeds, in the order of the records.

    Records of one budget belong together whatever knobs it took, where all were solved alike; others only with the same
    knobs. Options, image size, preprocessing, where the backbone began and all of the training but its seed must agree;
    what training left in the weights may differ.
    """
    groups: dict[str, dict[int, Record]] = defaultdict(dict)
    for record in records:
        if record.seed is not None:
            groups[_question(record)].setdefault(record.seed, record)
    return tuple(_spread(by_seed) for by_seed in groups.values() if len(by_seed) > 1)


def _question(record: Record) -> str:
    target = record.point.target_gmacs
    same = [
        record.method.model_dump(mode="json"),
        record.backbone.model_dump(mode="json", exclude={"weights_uri", "weights_sha256"}),
        record.preprocessing.model_dump(mode="json"),
        record.point.knobs if target is None else None,
        target,
        record.point.solved_by,
        record.point.origin,
        but_seed(record.training),
    ]
    return json.dumps(same, sort_keys=True)


def _spread(by_seed: dict[int, Record]) -> SeedSpread:
    seeds = sorted(by_seed)
    records = [by_seed[seed] for seed in seeds]
    knobs = records[0].point.knobs
    top1 = [record.accuracy.top1_pct for record in records]
    gmacs = [record.compute.gmacs_mean for record in records]
    return SeedSpread(
        method=records[0].method.name,
        options=records[0].method.options,
        target_gmacs=records[0].point.target_gmacs,
        knobs=knobs if all(record.point.knobs == knobs for record in records) else None,
        seeds=tuple(seeds),
        record_ids=tuple(record.record_id for record in records),
        **spread_of(top1, gmacs),
    )


def spread_of(top1: Sequence[float], gmacs: Sequence[float]) -> dict[str, float]:
    """Means and standard deviations over seeds, by the keys of ``SeedSpread``. Units: percent, GMACs."""
    return {
        "top1_mean_pct": statistics.mean(top1),
        "top1_sd_pct": statistics.stdev(top1),
        "gmacs_mean": statistics.mean(gmacs),
        "gmacs_sd": statistics.stdev(gmacs),
    }
