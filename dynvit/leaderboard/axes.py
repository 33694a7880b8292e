"""What a picture may have as an axis: numbers that a board's entries have, told apart and named in one place.

The entries' own are here; those of a measurement are its own to name (``Measurement.axes``).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from pydantic import BaseModel

from dynvit.leaderboard.board import Entry, Leaderboard
from dynvit.leaderboard.table import digits
from dynvit.leaderboard.training import TrainingRecord
from dynvit.reading import is_number


class Reading(NamedTuple):
    """One entry's number, and the ends of its interval where it has one."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Axis:
    """A number that entries have.

    ``heading`` is for a column, ``label`` for an axis, with its unit. ``readings`` are by record id. ``column``: one of
    the few that a table of entries shows. Axes of one ``family`` are one thing at several places ``at``, such as a
    batch size: a curve of an entry, or bars where the places are names.
    """

    key: str
    heading: str
    label: str
    readings: Mapping[str, Reading]
    group: str = "accuracy and compute"
    higher_is_better: bool = True
    decimals: int = 2
    column: bool = False
    family: str = ""
    at: float | str | None = None

    def shown(self, reading: Reading | None) -> str:
        """The number as people read it, with its interval; empty where there is none."""
        if reading is None:
            return ""
        text = f"{reading.value:,.{self.decimals}f}"
        if reading.low is None or reading.high is None:
            return text
        places = max(self.decimals - 1, 0)
        return f"{text} [{reading.low:,.{places}f}, {reading.high:,.{places}f}]"


def entry_axes(board: Leaderboard) -> Iterator[Axis]:
    """Those that every board has: compute, accuracy, the difference from dense, and what training cost."""
    places = digits(board.setting.dense_gmacs)
    own = {name: _of_entries(board, name) for name in ("gmacs_p5", "gmacs_p95", "saving_pct", "top5_pct")}
    mean = _of_entries(board, "gmacs_mean")
    cheap: Any = {"higher_is_better": False, "decimals": places}
    yield Axis("gmacs_mean", "GMACs", _said(Entry, "gmacs_mean"), mean, column=True, **cheap)
    for name in ("gmacs_p5", "gmacs_p95"):
        yield Axis(name, name, _said(Entry, name), own[name], **cheap)
    yield Axis("saving_pct", "saved %", _said(Entry, "saving_pct"), own["saving_pct"], decimals=1, column=True)
    top1 = {
        entry.record_id: Reading(entry.top1_pct, entry.top1_ci95_low_pct, entry.top1_ci95_high_pct)
        for entry in board.entries
    }
    yield Axis("top1_pct", "top-1 %", _said(Entry, "top1_pct"), top1, column=True)
    yield Axis("top5_pct", "top-5 %", _said(Entry, "top5_pct"), own["top5_pct"], column=True)
    paired = {
        entry.record_id: Reading(pair.difference_points, pair.ci95_low_points, pair.ci95_high_points)
        for entry in board.entries
        if (pair := entry.against_dense) is not None
    }
    yield Axis("difference_points", "± dense", "top-1 less the static backbone's, paired, points", paired)
    trained = {
        entry.record_id: Reading(entry.training.training_gmacs)
        for entry in board.entries
        if entry.training is not None and entry.training.training_gmacs is not None
    }
    cost = _said(TrainingRecord, "training_gmacs")
    yield Axis("training_gmacs", "training", f"training: {cost}", trained, higher_is_better=False, decimals=1)


def axes_of_summaries(
    name: str, summaries: Mapping[str, BaseModel], kind: type[BaseModel], higher_is_better: Mapping[str, bool]
) -> Iterator[Axis]:
    """An axis for each number of a measurement's summary, and for each place of its lists of numbers.

    Args:
        name: the measurement's.
        summaries: by record id.
        kind: what they are; the descriptions of its fields are the labels.
        higher_is_better: by field; those that it names are columns.

    Returns: the axes that some entry has a number for.
    """
    for field in kind.model_fields:
        label, better = _said(kind, field), higher_is_better.get(field, True)
        found = {record_id: getattr(summary, field) for record_id, summary in summaries.items()}
        numbers = {record_id: Reading(value) for record_id, value in found.items() if is_number(value)}
        if numbers:
            places, column = decimals_for(numbers.values()), field in higher_is_better
            heading = label.partition(",")[0]
            yield Axis(f"{name}.{field}", heading, label, numbers, name, better, places, column)
        lists = {key: value for key, value in found.items() if _is_list_of_numbers(value)}
        for place in range(max(map(len, lists.values()), default=0)):
            at = {key: Reading(value[place]) for key, value in lists.items() if place < len(value)}
            yield Axis(
                f"{name}.{field}.{place}", f"{field} {place + 1}", f"{label}: {place + 1}", at, name, better,
                decimals_for(at.values()), family=label, at=place + 1,
            )  # fmt: skip


def decimals_for(readings: Iterable[Reading]) -> int:
    """Decimals with which four digits of the largest number are seen, at most six.

    >>> decimals_for([Reading(1234.5)]), decimals_for([Reading(0.5), Reading(12.0)]), decimals_for([])
    (0, 2, 2)
    """
    largest = max((abs(reading.value) for reading in readings), default=0.0)
    if not largest:
        return 2
    return min(max(3 - math.floor(math.log10(largest)), 0), 6)


def _of_entries(board: Leaderboard, field: str) -> dict[str, Reading]:
    values = ((entry.record_id, getattr(entry, field)) for entry in board.entries)
    return {record_id: Reading(value) for record_id, value in values if value is not None}


def _said(kind: type[BaseModel], field: str) -> str:
    """What a field's description says of it, up to what it says of null."""
    return (kind.model_fields[field].description or field).partition(";")[0]


def _is_list_of_numbers(value: object) -> bool:
    return isinstance(value, list | tuple) and len(value) > 1 and all(map(is_number, value))
