"""Accuracy over compute, and over latency: each method's front, with its intervals and its seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from dynvit.errors import InputError
from dynvit.figures import drawable
from dynvit.leaderboard.board import Entry, Leaderboard
from dynvit.leaderboard.drawing import Mark, lowest_shown, ranked, with_dominated_faint
from dynvit.leaderboard.palette import style_of
from dynvit.measurements.speed.measurement import Speed
from dynvit.measurements.speed.summary import curve_at, shown
from dynvit.progress import counted
from dynvit.report.paper_figures.look import (
    BAR,
    Width,
    bars,
    dense_line,
    handle_of,
    legend_lines,
    look_of,
    note,
    paper_canvas,
    put_legend,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Place = Callable[[Entry], float | None]
"""Where an entry stands on the axis of cost; None where that was not measured."""


def draw_front(board: Leaderboard, width: Width) -> Figure:
    """Top-1 accuracy over mean GMACs: a line through each method's front, the rest small, papers' rows hollow.

    Bars are 95 % intervals over images. Where a method was trained with several seeds, its line is of their means, its
    bars their standard deviations, and small marks the single seeds.
    """
    return _draw(board, width, lambda entry: entry.gmacs_mean, "GMACs per image (mean)", "", seeds=True)


def draw_latency(board: Leaderboard, width: Width) -> Figure:
    """Top-1 accuracy over the median latency at the smallest batch that most entries were timed with.

    Raises: ``InputError`` where nothing was timed.
    """
    summaries = Speed.of(board)
    where = shown(summaries)
    if where is None:
        raise InputError("the board has no latencies: measure with dynvit bench --speed")
    conditions, _ = where
    curves = {name: curve for name, summary in summaries.items() if (curve := curve_at(summary, conditions))}
    batch = min(timing.batch_size for curve in curves.values() for timing in curve.sizes)
    times = {
        name: timing.latency_p50_ms
        for name, curve in curves.items()
        for timing in curve.sizes
        if timing.batch_size == batch
    }
    label = f"median latency, batch {batch} (ms)"
    return _draw(board, width, lambda entry: times.get(entry.record_id), label, f"{conditions.device}")


def _draw(board: Leaderboard, width: Width, place: Place, label: str, said: str, seeds: bool = False) -> Figure:
    found = {method: _marks(board, method, place) for method in ranked(board)}
    drawn = {method: marks for method, marks in found.items() if marks}
    claimed = sorted({row.method for row in board.paper} - drawn.keys()) if seeds else []
    names = [*drawn, *claimed, *(["printed in a paper"] if seeds and board.paper else [])]
    with paper_canvas(width, legend_lines(names, width)) as (figure, axes):
        for method, marks in drawn.items():
            if seeds and any(spread.method == method for spread in board.seeds):
                _over_seeds(axes, board, method)
            else:
                _front(axes, method, marks)
        for row in board.paper if seeds else ():
            look = look_of(row.method) | {"markerfacecolor": "none", "markeredgewidth": 0.8}
            look |= {"markeredgecolor": style_of(row.method).colour, "linestyle": "none"}
            axes.plot([row.gmacs_mean], [row.top1_pct], **look)
        static = [mark.y for e in board.entries if e.baseline and (mark := _mark(e, place)) is not None]
        if static:
            dense_line(axes, max(static))
        axes.set_xlabel(drawable(label))
        axes.set_ylabel("top-1 accuracy (%)")
        axes.margins(x=0.05)
        below = _cut(axes, list(drawn.values()), [row.top1_pct for row in board.paper if seeds])
        note(axes, "\n".join(filter(None, [said, f"{counted(below, 'point')} below" if below else ""])))
        handles = [handle_of(method, method, line=len(found.get(method, ())) > 1) for method in drawn]
        handles += [handle_of(method, method, line=False, hollow=True) for method in claimed]
        if seeds and board.paper:
            handles.append(handle_of("resolution", "printed in a paper", line=False, hollow=True))
        put_legend(figure, handles, width)
    return figure


def _cut(axes: Axes, groups: Sequence[Sequence[Mark]], claims: Sequence[float]) -> int:
    """Leave out what lies so far below all else that it would press the rest together. Returns how many points."""
    bottom = lowest_shown(groups, [Mark(0, top1, top1, top1) for top1 in claims])
    top = max([mark.high for marks in groups for mark in marks] + list(claims))
    room = 0.06 * max(top - bottom, 0.5)
    axes.set_ylim(bottom - room, top + room)
    return sum(mark.y < bottom for marks in groups for mark in marks)


def _marks(board: Leaderboard, method: str, place: Place) -> list[Mark]:
    own = (_mark(entry, place) for entry in board.entries if entry.method == method)
    return with_dominated_faint([mark for mark in own if mark is not None])


def _mark(entry: Entry, place: Place) -> Mark | None:
    x = place(entry)
    return None if x is None else Mark(x, entry.top1_pct, entry.top1_ci95_low_pct, entry.top1_ci95_high_pct)


def _front(axes: Axes, method: str, marks: Sequence[Mark]) -> None:
    import seaborn

    look, colour = look_of(method), style_of(method).colour
    clear = sorted(mark for mark in marks if not mark.faint)
    bars(axes, [m.x for m in clear], [m.y for m in clear], [(m.low, m.high) for m in clear], colour)
    x, y = [mark.x for mark in clear], [mark.y for mark in clear]
    order = 5 if look["marker"] == "*" else 3  # dense lies where many fronts end
    seaborn.lineplot(x=x, y=y, ax=axes, estimator=None, errorbar=None, legend=False, zorder=order, **look)
    rest = [mark for mark in marks if mark.faint]
    small = look | {"linestyle": "none", "alpha": 0.45, "markersize": 0.6 * look["markersize"]}
    axes.plot([mark.x for mark in rest], [mark.y for mark in rest], zorder=2, **small)


def _over_seeds(axes: Axes, board: Leaderboard, method: str) -> None:
    """Means over seeds with their standard deviations, both ways, and each training as a small mark behind."""
    import seaborn

    look, colour = look_of(method), style_of(method).colour
    spreads = sorted((s for s in board.seeds if s.method == method), key=lambda spread: spread.gmacs_mean)
    x, y = [spread.gmacs_mean for spread in spreads], [spread.top1_mean_pct for spread in spreads]
    axes.errorbar(
        x, y, xerr=[s.gmacs_sd for s in spreads], yerr=[s.top1_sd_pct for s in spreads], fmt="none", ecolor=colour,
        elinewidth=BAR, zorder=2.4,
    )  # fmt: skip
    seaborn.lineplot(x=x, y=y, ax=axes, estimator=None, errorbar=None, legend=False, zorder=3, **look)
    entries = {entry.record_id: entry for entry in board.entries}
    single = [entries[name] for spread in spreads for name in spread.record_ids if name in entries]
    small = look | {"linestyle": "none", "alpha": 0.45, "markersize": 0.6 * look["markersize"]}
    axes.plot([entry.gmacs_mean for entry in single], [entry.top1_pct for entry in single], zorder=2, **small)
