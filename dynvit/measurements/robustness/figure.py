"""The picture of what attacks leave: accuracy over GMACs, clean and at the radii that tell methods apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import pstdev
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
    ranked,
    setting_of,
    span,
)
from dynvit.leaderboard.palette import FAINT, Style, style_of
from dynvit.measurements.robustness.comparing import images_said, unlike_attacks
from dynvit.measurements.robustness.summary import RobustEntry, RobustFront, RobustnessSummary
from dynvit.measurements.robustness.table import radius

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RADII = 2
"""Values of ε that are drawn at most, beside clean accuracy."""

Value = Callable[[Entry], Mark | None]


def rows(
    board: Leaderboard, summaries: Mapping[str, RobustnessSummary], fronts: Sequence[RobustFront]
) -> list[dict[str, Any]]:
    """What was measured: a row for each entry and ε, those that are not drawn too."""
    on = {(front.norm, front.eps): front.front for front in fronts}
    return [
        entry.model_dump(include={"method", "record_id", "gmacs_mean"})
        | {"on_front": int(entry.record_id in on[robust.norm, robust.eps])}
        | robust.model_dump()
        for entry in board.entries
        if entry.record_id in summaries
        for robust in summaries[entry.record_id].accuracy
    ]


def draw(board: Leaderboard, summaries: Mapping[str, RobustnessSummary], fronts: Sequence[RobustFront]) -> Figure:
    """The figure: a panel for clean accuracy, one for each ε; the same points, colours and markers in all.

    Faint marks are dominated in the three objectives GMACs, clean accuracy and robust accuracy at their panel's ε; in
    the first panel: at every ε drawn. Bars are the 95 % interval. ``rows`` has every ε.
    """
    drawn = telling(summaries, fronts)
    anywhere = {name for front in drawn for name in front.front}
    values: list[tuple[str, Value]] = [("clean accuracy", _clean(summaries, anywhere))]
    norms = {front.norm for front in drawn}
    for front in drawn:
        norm, eps = radius(front.norm, front.eps).split()
        title = f"robust accuracy at ε = {eps}" + (f" ({norm})" if len(norms) > 1 else "")
        values.append((title, _robust(front, summaries)))
    with canvas(4.1) as figure:
        panels = figure.subplots(1, len(values), squeeze=False)[0]
        for axes, (title, value) in zip(panels, values, strict=True):
            _panel(axes, board, value)
            axes.set_title(title, loc="left")
        panels[0].set_ylabel("accuracy (%)")
        panels[len(panels) // 2].set_xlabel("mean GMACs per clean image (% of dense)")
        images = span(robust.n for summary in summaries.values() for robust in summary.accuracy)
        within = f"{radius(drawn[0].norm, 0).split()[0]}, " if len(norms) == 1 else ""
        title = f"{setting_of(board)} · {within}worst of all attacks, {images} images"
        figure.suptitle(title, x=0.012, ha="left", fontsize="medium", fontweight="bold")
        methods = {e.method for e in board.entries if e.record_id in summaries and summaries[e.record_id].accuracy}
        handles = [handle(style_of(name), name, line=False) for name in ranked(board) if name in methods]
        note = "faint: another point has no more GMACs and no less accuracy, clean and robust"
        note += ", or it is of other images" if images_said(summaries) else ""
        note += ", or it met other attacks" if unlike_attacks(summaries.values()) else ""
        legend_below(figure, handles, [handle(Style(FAINT, "o"), note, line=False, faint=True)])
    return figure


def telling(summaries: Mapping[str, RobustnessSummary], fronts: Sequence[RobustFront]) -> list[RobustFront]:
    """The fronts at those ε where the entries' robust accuracies differ most (standard deviation), by rising ε."""

    def spread(front: RobustFront) -> float:
        left = [_at(front, summary) for summary in summaries.values()]
        return pstdev([robust.accuracy_pct for robust in left if robust])

    most = sorted(fronts, key=lambda front: (-spread(front), front.norm, front.eps))[:RADII]
    return [front for front in fronts if front in most]


def _at(front: RobustFront, summary: RobustnessSummary) -> RobustEntry | None:
    return next((r for r in summary.accuracy if (r.norm, r.eps) == (front.norm, front.eps)), None)


def _clean(summaries: Mapping[str, RobustnessSummary], front: set[str]) -> Value:
    def value(entry: Entry) -> Mark | None:
        if entry.record_id not in summaries or not summaries[entry.record_id].accuracy:
            return None
        low, high = entry.top1_ci95_low_pct, entry.top1_ci95_high_pct
        return Mark(entry.gmacs_mean, entry.top1_pct, low, high, entry.record_id not in front)

    return value


def _robust(front: RobustFront, summaries: Mapping[str, RobustnessSummary]) -> Value:
    def value(entry: Entry) -> Mark | None:
        robust = _at(front, summaries[entry.record_id]) if entry.record_id in summaries else None
        if robust is None:
            return None
        low, high = robust.ci95_low_pct, robust.ci95_high_pct
        return Mark(entry.gmacs_mean, robust.accuracy_pct, low, high, entry.record_id not in front.front)

    return value


def _panel(axes: Axes, board: Leaderboard, value: Value) -> None:
    from matplotlib.ticker import MaxNLocator

    lowest = 100.0
    for own in by_checkpoint(board.entries):
        found = [mark for entry in own if (mark := value(entry)) is not None]
        marks = [mark._replace(x=100 * mark.x / board.setting.dense_gmacs) for mark in found]
        if not marks:
            continue
        style = style_of(own[0].method)
        if len(marks) > 1:
            draw_stairs(axes, marks, style, max(mark.x for mark in marks))
        draw_marks(axes, marks, style)
        lowest = min(lowest, *(mark.y if mark.faint else mark.low for mark in marks))
    chance = 100 / board.setting.num_classes
    if lowest < 2 * chance:
        axes.axhline(chance, color=FAINT, linestyle=(0, (2, 3)), linewidth=1.0, zorder=1)
        axes.annotate("chance", (1, chance), xycoords=("axes fraction", "data"), xytext=(0, 2),
                      textcoords="offset points", ha="right", color=FAINT, fontsize=9)  # fmt: skip
    axes.margins(x=0.12, y=0.08)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
    dress(axes)
