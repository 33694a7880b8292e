"""The picture of the front of three objectives: accuracy over GMACs, clean and within each ball, side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dynvit.leaderboard.board import Entry, Leaderboard
from dynvit.leaderboard.figure import FAINT, INK, MARKERS, STYLE
from dynvit.measurements.robustness.summary import RobustFront, RobustnessSummary
from dynvit.measurements.robustness.table import radius

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANELS = 4
"""Balls that are drawn at most: the smallest, the largest, and some evenly between."""

Value = Callable[[Entry], tuple[float, float, float] | None]


def rows(
    board: Leaderboard, summaries: Mapping[str, RobustnessSummary], fronts: Sequence[RobustFront]
) -> list[dict[str, Any]]:
    """What is plotted: a row for each entry and ball."""
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
    """The figure: one panel for clean accuracy, one for each ball; the same points, colours and markers in all.

    Filled marks are on the front of three objectives of their panel (in the first panel: of any), hollow ones are
    dominated. Bars are the 95 % interval.
    """
    import matplotlib
    import seaborn
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    style: Any = {**seaborn.axes_style("whitegrid"), **seaborn.plotting_context("notebook", font_scale=0.85), **STYLE}
    every, fronts = fronts, _shown(fronts)
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(3.1 * (1 + len(fronts)) + 0.6, 4.0), layout="constrained")
        FigureCanvasAgg(figure)
        panels = figure.subplots(1, 1 + len(fronts), sharey=True, squeeze=False)[0]
        anywhere = {name for front in every for name in front.front}
        _panel(panels[0], board, _clean(summaries), anywhere)
        panels[0].set_title("clean", loc="left", fontsize="medium")
        panels[0].set_ylabel("top-1 accuracy (%)")
        for axes, front in zip(panels[1:], fronts, strict=True):
            _panel(axes, board, _within(front, summaries), set(front.front))
            axes.set_title(f"{radius(front.norm, front.eps)}", loc="left", fontsize="medium")
        setting = board.setting
        attacked = max(robust.n for summary in summaries.values() for robust in summary.accuracy)
        figure.suptitle(
            f"{setting.dataset} {setting.split} · {setting.backbone} · worst of all attacks on {attacked:,} images",
            x=0.01, ha="left", fontsize="medium", fontweight="bold",
        )  # fmt: skip
        figure.supxlabel("GMACs per image (mean, clean)", fontsize="medium")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right center", frameon=False, fontsize="small")
    return figure


def _shown(fronts: Sequence[RobustFront]) -> list[RobustFront]:
    last = len(fronts) - 1
    places = {round(place * last / (PANELS - 1)) for place in range(PANELS)} if last >= PANELS else range(last + 1)
    return [fronts[place] for place in sorted(places)]


def _clean(summaries: Mapping[str, RobustnessSummary]) -> Value:
    def value(entry: Entry) -> tuple[float, float, float] | None:
        attacked = entry.record_id in summaries and summaries[entry.record_id].accuracy
        return (entry.top1_pct, entry.top1_ci95_low_pct, entry.top1_ci95_high_pct) if attacked else None

    return value


def _within(front: RobustFront, summaries: Mapping[str, RobustnessSummary]) -> Value:
    def value(entry: Entry) -> tuple[float, float, float] | None:
        own = summaries.get(entry.record_id)
        for robust in own.accuracy if own else ():
            if (robust.norm, robust.eps) == (front.norm, front.eps):
                return robust.accuracy_pct, robust.ci95_low_pct, robust.ci95_high_pct
        return None

    return value


def _panel(axes: Axes, board: Leaderboard, value: Value, front: set[str]) -> None:
    import seaborn

    colours = seaborn.color_palette("colorblind", 10)
    moving = [method.name for method in board.methods if not _static(board, method.name)]
    for method in board.methods:
        own = [(entry, found) for entry in board.entries if entry.method == method.name and (found := value(entry))]
        if not own:
            continue
        place = moving.index(method.name) if method.name in moving else None
        colour = INK if place is None else colours[place % 10]
        marker = "*" if place is None else MARKERS[place % len(MARKERS)]
        x, y = [entry.gmacs_mean for entry, _ in own], [found[0] for _, found in own]
        bars = [[max(f[0] - f[1], 0.0) for _, f in own], [max(f[2] - f[0], 0.0) for _, f in own]]
        axes.errorbar(x, y, yerr=bars, fmt="none", ecolor=colour, elinewidth=1.1, alpha=0.55, zorder=2)
        axes.plot(x, y, color=colour, linewidth=1.1, alpha=0.6, zorder=3)
        for (entry, found), label in zip(own, [method.name] + [None] * len(own), strict=False):
            filled = entry.record_id in front
            axes.plot(
                [entry.gmacs_mean],
                [found[0]],
                linestyle="none",
                marker=marker,
                markersize=13 if place is None else 7,
                markerfacecolor=colour if filled else "white",
                markeredgecolor=colour,
                markeredgewidth=1.2,
                label=label,
                zorder=4,
            )
    axes.axhline(100 / board.setting.num_classes, color=FAINT, linestyle=(0, (2, 3)), linewidth=0.9, zorder=1)
    axes.margins(x=0.1, y=0.06)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _static(board: Leaderboard, method: str) -> bool:
    return all(entry.baseline for entry in board.entries if entry.method == method)
