"""A board as rows: what its page shows of every entry and of every paper's row, once for the table and the chart."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from dynvit.leaderboard.axes import Axis, Reading
from dynvit.leaderboard.board import Entry
from dynvit.leaderboard.naming import point_names, short_ids
from dynvit.leaderboard.paper import PaperRow
from dynvit.report.axes import axes_of
from dynvit.site.source import Source
from dynvit.site.tiers import PAPER

UNKNOWN = "not known"


@dataclass(frozen=True)
class Row:
    """One entry, or one row of a paper, which has no page: ``href`` is empty.

    ``readings`` stand in the order of the sheet's axes. ``front``: 2 on that of all methods, 1 on its own, else 0.
    """

    short: str
    method: str
    point: str
    settings: str
    href: str
    division: str
    tier: str
    backbone: str
    front: int
    readings: Sequence[Reading | None]
    source: str = ""
    baseline: bool = False


@dataclass(frozen=True)
class Sheet:
    """All rows of a board, the axes that they have numbers of, and which rows differ in their seed alone."""

    axes: Sequence[Axis]
    rows: Sequence[Row]
    seeds: Sequence[Sequence[int]]

    @property
    def columns(self) -> list[tuple[int, Axis]]:
        """The axes that the table shows, with their places."""
        return [(place, axis) for place, axis in enumerate(self.axes) if axis.column]

    def values(self, facet: str) -> list[str]:
        """The different values of a fact of the rows, in the order in which they come."""
        return list(dict.fromkeys(str(getattr(row, facet)) for row in self.rows))


def sheet_of(source: Source) -> Sheet:
    """The rows of a board: its entries, then what papers print of its setting."""
    board = source.board
    axes = axes_of(board)
    names, ids = point_names(board), short_ids(entry.record_id for entry in board.entries)
    rows = [_row(source, entry, names[entry.record_id], ids[entry.record_id], axes) for entry in board.entries]
    places = {entry.record_id: place for place, entry in enumerate(board.entries)}
    seeds = [[places[one] for one in spread.record_ids if one in places] for spread in board.seeds]
    return Sheet(axes, [*rows, *(_of_paper(row, axes) for row in board.paper)], [one for one in seeds if len(one) > 1])


def file_name(record_id: str) -> str:
    """The name of an entry's page without its suffix: its id, where that is one; a hash of what a board calls so.

    >>> file_name("09cfb1aea2fa770d"), len(file_name("../../etc"))
    ('09cfb1aea2fa770d', 16)
    """
    if re.fullmatch(r"[0-9a-f]{16}", record_id):
        return record_id
    return hashlib.sha256(record_id.encode()).hexdigest()[:16]


def settings_of(knobs: Mapping[str, object], most: int = 6) -> str:
    """Knobs in a line; of many the first ones.

    >>> settings_of({"keep_ratio": 0.70004, "stages": 3})
    'keep_ratio = 0.7, stages = 3'
    """
    said = [
        f"{name} = {value:.3g}" if isinstance(value, float) else f"{name} = {value}"
        for name, value in sorted(knobs.items())
    ]
    return ", ".join(said[:most]) + (f", and {len(said) - most} more" if len(said) > most else "")


def _row(source: Source, entry: Entry, point: str, short: str, axes: Sequence[Axis]) -> Row:
    return Row(
        short=short,
        method=entry.method,
        point=point,
        settings=settings_of(entry.knobs),
        href=f"entries/{file_name(entry.record_id)}.html",
        division=UNKNOWN if entry.training is None else entry.training.division,
        tier=source.standing(entry).tier,
        backbone=source.board.setting.backbone,
        front=2 if entry.on_front else 1 if entry.on_method_front else 0,
        readings=[axis.readings.get(entry.record_id) for axis in axes],
        baseline=entry.baseline,
    )


def _of_paper(row: PaperRow, axes: Sequence[Axis]) -> Row:
    """A paper prints what an entry's own axes are of, under the same keys."""
    return Row(
        short="paper",
        method=row.method,
        point=row.label,
        settings="",
        href="",
        division=UNKNOWN,
        tier=PAPER,
        backbone=row.backbone,
        front=0,
        readings=list(_printed(row, axes)),
        source=f"{row.source}{'' if row.page is None else f', p. {row.page}'}{' (as read)' if row.as_read else ''}",
    )


def _printed(row: PaperRow, axes: Sequence[Axis]) -> Iterator[Reading | None]:
    printed = {name: value for name, value in row.model_dump().items() if name in type(row).model_fields}
    for axis in axes:
        value = printed.get(axis.key)
        yield Reading(value) if isinstance(value, int | float) else None
