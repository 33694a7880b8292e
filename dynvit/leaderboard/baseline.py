"""Which dense model a row is held against: by how both were trained, never by how accurate it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from dynvit.leaderboard.board import Entry
from dynvit.leaderboard.contradiction import alike
from dynvit.leaderboard.paired import Paired, paired
from dynvit.leaderboard.per_sample import PerSampleResults
from dynvit.leaderboard.record import Record, is_static

DENSE = "dense"
"""The method that is the static backbone by name; others may have a point that drops nothing, too."""


class Static(NamedTuple):
    """A row of the static backbone. ``seed``: of its training; None: it was not trained here."""

    record_id: str
    method: str
    seed: int | None


@dataclass(frozen=True)
class Baselines:
    """The static backbones among the rows of one setting. Several were trained with several seeds."""

    statics: tuple[Static, ...]

    @classmethod
    def among_records(cls, records: Iterable[Record]) -> Baselines:
        """Those of records."""
        found = (record for record in records if is_static(record))
        return cls(tuple(Static(one.record_id, one.method.name, one.seed) for one in found))

    @classmethod
    def among_entries(cls, entries: Iterable[Entry]) -> Baselines:
        """Those of a board's entries."""
        found = (entry for entry in entries if entry.baseline)
        return cls(tuple(Static(one.record_id, one.method, one.seed) for one in found))

    def of(self, seed: int | None) -> str | None:
        """The record id of what a row of this seed is held against; None where there is no static backbone.

        ``dense`` before other methods; of its trainings that of the row's own seed, else that of the lowest. The most
        accurate of several would make every row look worse by what chance gave that one.

        >>> Baselines((Static("a", "dense", 0), Static("b", "dense", 1), Static("c", "topk", 2))).of(1)
        'b'
        >>> Baselines((Static("a", "dense", 0), Static("b", "dense", 1), Static("c", "topk", 2))).of(2)
        'a'
        """
        return min(self.statics, key=lambda one: _rank(one, seed)).record_id if self.statics else None


def against(baseline: str | None, record_id: str, kept: Mapping[str, PerSampleResults]) -> Paired | None:
    """A record's results held against its static backbone's; None where there are none of either, or of other images.

    Args:
        baseline: the record id of its static backbone, if there is one.
        record_id: of the record.
        kept: per-sample results, by record id.
    """
    static, results = kept.get(baseline or ""), kept.get(record_id)
    if static is None or results is None or static is results or static.images != results.images:
        return None
    return paired(static.bits(), results.bits())


def is_against(pair: Paired, entry: Entry, other: Entry) -> bool:
    """Whether a pair can be of these two: neither is the other, and it says by how much their accuracies differ."""
    points = entry.top1_pct - other.top1_pct
    return entry.record_id != other.record_id and alike(pair.difference_points, points)


def _rank(static: Static, seed: int | None) -> tuple[bool, bool, bool, int, str]:
    """What was not trained stands before every seed. The id decides among equals, so that the choice is the same."""
    number = 0 if static.seed is None else static.seed
    return static.method != DENSE, static.seed != seed, static.seed is not None, number, static.record_id
