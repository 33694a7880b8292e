"""Charts as Vega-Lite specifications, made by Altair: the front of a board, and the curves and bars of an entry.

The data is a named source, which whoever draws the chart provides: a page's script, or ``with_rows``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import altair as alt

from dynvit.leaderboard.axes import Axis, Reading
from dynvit.plain import visible
from dynvit.site.data import X, Y, place_of, short
from dynvit.site.marks import mark_of
from dynvit.site.rows import Row, Sheet

ROWS, STAIRS, SPREADS = "rows", "stairs", "spreads"
_FAINT, _UNCHOSEN = 0.3, 0.05
"""Opacity of what another point of its method dominates, and of methods that the legend does not select."""
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"


def front(methods: Sequence[str], x: Axis, y: Axis, *, legend: bool) -> dict[str, Any]:
    """Points with their intervals, each method's front as a staircase, seeds as spread, papers' rows hollow.

    Rows have ``x``, ``y``, ``x_low`` and so on, ``method``, ``tip``, ``settings``, and whether they are on their
    method's ``front``, a ``paper``'s, or the static ``baseline``; stairs and spreads have ``method`` and the numbers.

    Args:
        methods: in the order of the legend.
        x: the first axis.
        y: the second.
        legend: whether the chart has a legend of its own, by which methods are selected.
    """
    chosen = alt.selection_point(name="chosen", fields=["method"], bind="legend")
    titles = {"x": visible(x.label), "y": visible(y.label)}
    layers = [*_lines(methods, titles), _points(methods, titles, chosen if legend else None)]
    chart = alt.layer(*layers).resolve_scale(color="shared", shape="shared").properties(width="container", height=420)
    return _dressed(chart.add_params(chosen) if legend else chart)


def front_with_rows(sheet: Sheet) -> dict[str, Any]:
    """The chart of a board's front that needs nothing beside it: with its rows, and a legend."""
    x, y = (sheet.axes[place_of(sheet.axes, key)] for key in (X, Y))
    spec = front(sheet.values("method"), x, y, legend=True)
    rows = [drawn for row in sheet.rows if (drawn := _row(row, sheet)) is not None]
    return with_rows(spec, {ROWS: rows, STAIRS: list(_stairs(rows)), SPREADS: []})


def with_rows(spec: Mapping[str, Any], rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """The specification with the rows of its named sources."""
    return {**spec, "datasets": {name: list(some) for name, some in rows.items()}}


@cache
def curve() -> dict[str, Any]:
    """Readings ``y`` of an entry at several places ``at``, those of the static backbone dashed (``dense``)."""
    base = alt.Chart(alt.NamedData(ROWS)).encode(
        x=alt.X("at:O", title=None, axis=alt.Axis(labelAngle=0)),
        y=alt.Y("y:Q", title=None, scale=alt.Scale(zero=True), axis=alt.Axis(tickCount=5)),
    )
    own, dense = base.transform_filter("!datum.dense"), base.transform_filter("datum.dense")
    layers = (
        dense.mark_line(strokeDash=[5, 4], opacity=0.6),
        own.mark_rule(opacity=0.6).encode(y=alt.Y("low:Q", title=None), y2="high:Q"),
        own.mark_line(strokeWidth=1.8),
        own.mark_point(filled=True, size=60, opacity=1),
    )
    return _dressed(alt.layer(*layers).properties(width="container", height=200))


@cache
def bars() -> dict[str, Any]:
    """Readings ``y`` of an entry at several named places ``at``, with their intervals."""
    base = alt.Chart(alt.NamedData(ROWS)).encode(
        x=alt.X("at:N", title=None, sort=None, axis=alt.Axis(labelAngle=-40, labelLimit=140)),
        y=alt.Y("y:Q", title=None, axis=alt.Axis(tickCount=5)),
    )
    dense = base.transform_filter("datum.dense").mark_tick(thickness=2, opacity=0.7)
    own = base.transform_filter("!datum.dense")
    whiskers = own.mark_rule(opacity=0.7).encode(y=alt.Y("low:Q", title=None), y2="high:Q")
    return _dressed(alt.layer(own.mark_bar(opacity=0.55), whiskers, dense).properties(width="container", height=240))


def _lines(methods: Sequence[str], titles: Mapping[str, str]) -> Iterator[alt.Chart]:
    """What lies behind the points: dense, the staircases, the spread over seeds, the intervals."""
    base = alt.Chart(alt.NamedData(ROWS)).encode(color=_colour(methods))
    yield base.transform_filter("datum.baseline").mark_rule(strokeDash=[5, 4], opacity=0.5).encode(y=_at("y", titles))
    stairs = alt.Chart(alt.NamedData(STAIRS)).encode(color=_colour(methods))
    stairs = stairs.mark_line(interpolate="step-after", strokeWidth=1.6)
    yield stairs.encode(x=_at("x", titles), y=_at("y", titles), opacity=alt.value(0.5))
    wide: dict[str, Any] = {"strokeWidth": 9, "opacity": 0.25, "strokeCap": "round"}
    spreads = alt.Chart(alt.NamedData(SPREADS)).encode(color=_colour(methods)).mark_rule(**wide)
    thin = base.transform_filter("datum.front").mark_rule(opacity=0.55)
    for across, up in (("x", "y"), ("y", "x")):
        for some in (spreads, thin.transform_filter(f"isValid(datum.{across}_low)")):
            ends = {across: _at(across, titles, f"{across}_low"), f"{across}2": f"{across}_high:Q"}
            yield some.encode(**{up: _at(up, titles)}, **ends)


def _points(methods: Sequence[str], titles: Mapping[str, str], chosen: alt.Parameter | None) -> alt.Chart:
    names, marks = _names(methods), [mark_of(method) for method in methods]
    key: Any = None if chosen is None else alt.Legend(title=None, orient="bottom", columns=6)
    palette = alt.Scale(domain=names, range=[mark.light for mark in marks])
    shapes = alt.Scale(domain=names, range=[mark.path for mark in marks])
    clear: Any = [{"test": "!datum.front && !datum.paper", "value": _FAINT}]
    if chosen is not None:
        clear.insert(0, {"test": {"not": {"param": "chosen"}}, "value": _UNCHOSEN})
    tips = [("tip:N", "entry"), ("settings:N", "settings"), ("x:Q", titles["x"]), ("y:Q", titles["y"])]
    return (
        alt.Chart(alt.NamedData(ROWS))
        .mark_point(filled=True, size=110, strokeWidth=1.5)
        .encode(
            x=_at("x", titles),
            y=_at("y", titles),
            fill=alt.Fill("method:N", scale=palette, legend=key),
            stroke=alt.Stroke("method:N", scale=palette, legend=key),
            shape=alt.Shape("method:N", scale=shapes, legend=key),
            fillOpacity=alt.condition("datum.paper", alt.value(0), alt.value(1)),
            opacity={"condition": clear, "value": 1},
            tooltip=[alt.Tooltip(field, title=title) for field, title in tips],
        )
    )


def _colour(methods: Sequence[str]) -> alt.Color:
    palette = alt.Scale(domain=_names(methods), range=[mark_of(method).light for method in methods])
    return alt.Color("method:N", scale=palette, legend=None)


def _at(channel: str, titles: Mapping[str, str], field: str = "") -> Any:
    made: Any = alt.X if channel == "x" else alt.Y
    scale, axis = alt.Scale(zero=False, nice=False, padding=16), alt.Axis(tickCount=7)
    return made(f"{field or channel}:Q", title=titles[channel], scale=scale, axis=axis)


def _names(methods: Iterable[str]) -> list[str]:
    return [visible(method) for method in methods]


def _row(row: Row, sheet: Sheet) -> dict[str, Any] | None:
    """A row as the chart has it; None for one that lacks a number of either axis."""
    x, y = (row.readings[place_of(sheet.axes, key)] for key in (X, Y))
    if x is None or y is None:
        return None
    said = {"method": row.method, "tip": f"{row.method} {row.point}", "settings": row.settings or row.source}
    flags = {"front": row.front > 0, "paper": not row.href, "baseline": row.baseline}
    return {name: visible(text) for name, text in said.items()} | flags | _ends("x", x) | _ends("y", y)


def _stairs(rows: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """The staircases' corners: each method's front, and level from its last point to the costliest of all."""
    last = max((row["x"] for row in rows), default=0)
    for method in dict.fromkeys(row["method"] for row in rows):
        own = sorted((row["x"], row["y"]) for row in rows if row["method"] == method and row["front"])
        corners = [*own, (last, own[-1][1])] if own else []
        yield from ({"method": method, "x": x, "y": y} for x, y in corners)


def _ends(name: str, reading: Reading) -> dict[str, Any]:
    return {name: short(reading.value), f"{name}_low": short(reading.low), f"{name}_high": short(reading.high)}


def _dressed(chart: alt.LayerChart | alt.FacetChart) -> dict[str, Any]:
    """As all of ours look; colours of text and grid are the page's."""
    quiet = {"grid": True, "domain": False, "ticks": False, "labelPadding": 8, "titlePadding": 14}
    dressed = chart.configure(font=_FONT, background="transparent").configure_view(stroke=None)
    dressed = dressed.configure_axis(labelFontSize=12, titleFontSize=13, titleFontWeight="normal", **quiet)
    spec: dict[str, Any] = dressed.to_dict()
    return spec
