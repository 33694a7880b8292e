"""The picture of corruptions: mean accuracy over GMACs, and each corruption at one budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import TYPE_CHECKING, Any

from dynvit.leaderboard.board import Entry, Leaderboard
from dynvit.leaderboard.drawing import (
    Mark,
    by_checkpoint,
    canvas,
    draw_marks,
    draw_stairs,
    dress,
    handle,
    legend_below,
    limit,
    lowest_shown,
    notes_on,
    put_on_axis,
    ranked,
    setting_of,
    span,
    with_dominated_faint,
)
from dynvit.leaderboard.palette import FAINT, style_of
from dynvit.measurements.corruption.summary import CorruptionSummary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Measured = Mapping[str, CorruptionSummary]


def draw(board: Leaderboard, summaries: Measured) -> Figure:
    """The figure. Left: mean corruption accuracy, a staircase for each checkpoint, over the GMACs that corrupted images
    cost. Right: accuracy under each corruption, and clean, of each method's best point at about one budget.

    The title says how wide a 95 % interval is; points that another of their checkpoint dominates are faint.
    """
    chosen, budget = at_one_budget(board, summaries)
    counts = [len(own.corruptions) for own in summaries.values()]
    with canvas(max(4.6, 1.9 + 0.2 * max(counts))) as figure:
        left, right = figure.subplots(1, 2, width_ratios=(1.15, 1))
        notes = _over_gmacs(left, board, summaries)
        _each(right, chosen, summaries)
        right.set_title(f"each, points within {100 * budget / board.setting.dense_gmacs:.0f} % of dense", loc="left")
        title = f"{setting_of(board)} · {span(counts)} corruptions, {span(s.n for s in summaries.values())} images"
        figure.suptitle(title, x=0.012, ha="left", fontsize="medium", fontweight="bold")
        methods = {entry.method for entry in board.entries if entry.record_id in summaries}
        handles = [handle(style_of(name), name) for name in ranked(board) if name in methods]
        legend_below(figure, handles, notes)
    return figure


def at_one_budget(board: Leaderboard, summaries: Measured) -> tuple[list[Entry], float]:
    """One point a method that may be compared: the most accurate under corruption among those within a budget.

    The budget is the median of what corrupted images cost at the points that are not dense; dense is there beside it. A
    method that has no point within it is not compared. Units: GMACs.
    """
    measured = [(entry, summaries[entry.record_id]) for entry in board.entries if entry.record_id in summaries]
    budget = median([own.gmacs_mean for entry, own in measured if not entry.baseline] or [board.setting.dense_gmacs])
    best: dict[str, Entry] = {}
    for entry, own in measured:
        if entry.baseline or own.gmacs_mean <= budget:
            other = best.get(entry.method)
            if other is None or own.accuracy_pct > summaries[other.record_id].accuracy_pct:
                best[entry.method] = entry
    return list(best.values()), budget


def _over_gmacs(axes: Axes, board: Leaderboard, summaries: Measured) -> list[Any]:
    """The staircases; what the legend says of their marks."""
    from matplotlib.ticker import MaxNLocator

    groups = by_checkpoint(entry for entry in board.entries if entry.record_id in summaries)
    marked = [with_dominated_faint([_mark(summaries[e.record_id], board) for e in own]) for own in groups]
    everything = [mark for marks in marked for mark in marks]
    bottom = lowest_shown(marked)
    for own, marks in zip(groups, marked, strict=True):
        style = style_of(own[0].method)
        if not all(entry.baseline for entry in own):
            draw_stairs(axes, marks, style, until=100)
        draw_marks(axes, [mark for mark in marks if mark.y >= bottom], style, bars=0)
    limit(axes, everything, bottom)
    below = put_on_axis(axes, [(own[0].method, marks) for own, marks in zip(groups, marked, strict=True)], bottom)
    half = median(own.accuracy_ci95_high_pct - own.accuracy_ci95_low_pct for own in summaries.values()) / 2
    axes.set_title(f"mean over corruptions (95 %: about ± {half:.{0 if half >= 1 else 1}f})", loc="left")
    axes.set_xlabel("mean GMACs per corrupted image (% of dense)")
    axes.set_ylabel("top-1 accuracy (%)")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, steps=[1, 2, 5, 10]))
    dress(axes)
    return notes_on(any(mark.faint for mark in everything), below)


def _mark(summary: CorruptionSummary, board: Leaderboard) -> Mark:
    """Without the interval: the same images stand behind all points, and its bars would hide them."""
    accuracy = summary.accuracy_pct
    return Mark(100 * summary.gmacs_mean / board.setting.dense_gmacs, accuracy, accuracy, accuracy)


def _each(axes: Axes, chosen: Sequence[Entry], summaries: Measured) -> None:
    """A row for clean images and one for each corruption, a mark for each method."""
    names = list(dict.fromkeys(row.name for entry in chosen for row in summaries[entry.record_id].corruptions))
    place = {name: i + 1 for i, name in enumerate(names)}
    for entry in chosen:
        summary = summaries[entry.record_id]
        found: list[tuple[float, float]] = [(row.accuracy_pct, place[row.name]) for row in summary.corruptions]
        if summary.clean_accuracy_pct is not None:
            found.append((summary.clean_accuracy_pct, 0))
        draw_marks(axes, [Mark(x, y, y, y) for x, y in found], style_of(entry.method), bars=0, size=0.85)
    axes.set_yticks([0, *place.values()], ["clean", *(name.replace("_", " ") for name in names)], fontsize=9.5)
    axes.set_ylim(len(names) + 0.6, -0.6)
    axes.axhline(0.5, color=FAINT, linewidth=0.8, zorder=1)
    axes.set_xlabel("top-1 accuracy (%)")
    dress(axes)
