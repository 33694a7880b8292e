"""What a board's page tells its script: the rows by column, as short as they can be said."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dynvit.leaderboard.axes import Axis, Reading
from dynvit.plain import visible
from dynvit.site.marks import mark_of
from dynvit.site.rows import Sheet

X, Y = "gmacs_mean", "top1_pct"
"""The axes that a chart begins with."""


def page_data(sheet: Sheet) -> dict[str, Any]:
    """Rows by column; what few values repeat in is said by its place in their list."""
    rows = sheet.rows
    return {
        "axes": [_axis(axis, [row.readings[place] for row in rows]) for place, axis in enumerate(sheet.axes)],
        "x": place_of(sheet.axes, X),
        "y": place_of(sheet.axes, Y),
        "facets": {facet: _facet([getattr(row, facet) for row in rows]) for facet in FACETS},
        "point": [visible(row.point) for row in rows],
        "settings": [visible(row.settings or row.source) for row in rows],
        "short": [visible(row.short) for row in rows],
        "href": [row.href for row in rows],
        "front": [row.front for row in rows],
        "baseline": [place for place, row in enumerate(rows) if row.baseline],
        "paper": [place for place, row in enumerate(rows) if not row.href],
        "seeds": sheet.seeds,
        "marks": {visible(method): mark_of(method)._asdict() for method in sheet.values("method")},
    }


FACETS = ("method", "backbone", "division", "tier")
"""What rows are filtered by."""


def place_of(axes: Sequence[Axis], key: str) -> int:
    """Where an axis stands."""
    return next(place for place, axis in enumerate(axes) if axis.key == key)


def short(value: float | None) -> float | int | None:
    """Six digits, which no picture shows more of.

    >>> short(0.123456789), short(3.0), short(None)
    (0.123457, 3, None)
    """
    if value is None:
        return None
    rounded = float(f"{value:.6g}")
    return int(rounded) if rounded.is_integer() and abs(rounded) < 1e15 else rounded


def _axis(axis: Axis, readings: Sequence[Reading | None]) -> Mapping[str, Any]:
    said = {
        "key": axis.key,
        "label": visible(axis.label),
        "group": visible(axis.group),
        "up": axis.higher_is_better,
        "decimals": axis.decimals,
        "v": _column(reading and reading.value for reading in readings),
    }
    low = _column(reading and reading.low for reading in readings)
    high = _column(reading and reading.high for reading in readings)
    return said | ({"low": low, "high": high} if any(value is not None for value in low) else {})


def _column(values: Iterable[float | None]) -> list[float | int | None]:
    return [short(value) for value in values]


def _facet(values: Sequence[str]) -> dict[str, Any]:
    names = list(dict.fromkeys(values))
    place = {name: number for number, name in enumerate(names)}
    return {"names": [visible(name) for name in names], "of": [place[value] for value in values]}
