"""The picture of speed: realised against promised speed-up over the batch, a panel for each method."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from dynvit.leaderboard.board import Entry, Leaderboard
from dynvit.leaderboard.figure import FAINT, INK, STYLE
from dynvit.leaderboard.naming import point_names
from dynvit.measurements.speed.result import SpeedResult
from dynvit.measurements.speed.summary import Conditions, SpeedSummary, curve_at

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CURVES = 7
"""Points of a method that are drawn at most."""
COLUMNS = 3
NUMBERS = (
    "batch_size",
    "latency_p50_ms",
    "latency_p95_ms",
    "latency_p99_ms",
    "images_per_s",
    "dense_images_per_s",
    "speedup",
    "speedup_low",
    "speedup_high",
    "speedup_theoretical",
    "speedup_share",
    "peak_memory_mb",
    "dense_peak_memory_mb",
    "energy_mj_per_image",
    "dense_energy_mj_per_image",
    "rounds_valid",
    "rounds_run",
)


def rows(board: Leaderboard, summaries: Mapping[str, SpeedSummary]) -> list[dict[str, Any]]:
    """A row for each timing, those of other devices and types too."""
    return [
        {"method": entry.method, "record_id": entry.record_id, "knobs": json.dumps(entry.knobs, sort_keys=True)}
        | curve.model_dump(exclude={"sizes"})
        | timing.model_dump(include=set(NUMBERS))
        for entry in board.entries
        if entry.record_id in summaries
        for curve in summaries[entry.record_id].curves
        for timing in curve.sizes
    ]


def draw(board: Leaderboard, summaries: Mapping[str, SpeedSummary], where: Conditions) -> Figure:
    """A panel a method: lines are realised, with the spread of the rounds; dashes are theoretical."""
    import matplotlib
    import seaborn
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    by_method: dict[str, list[Entry]] = {}
    for entry in board.entries:
        if entry.record_id in summaries and curve_at(summaries[entry.record_id], where) is not None:
            by_method.setdefault(entry.method, []).append(entry)
    columns, names = min(COLUMNS, len(by_method)), point_names(board)
    rows = -(-len(by_method) // columns)
    style: Any = {**seaborn.axes_style("whitegrid"), **seaborn.plotting_context("notebook", font_scale=0.85), **STYLE}
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(3.7 * columns + 0.6, 3.3 * rows + 0.9), layout="constrained")
        FigureCanvasAgg(figure)
        panels = list(chain.from_iterable(figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)))
        for axes, (method, entries) in zip(panels, by_method.items(), strict=False):
            _draw_method(axes, method, {names[e.record_id]: _sizes(summaries[e.record_id], where) for e in entries})
        for axes in panels[len(by_method) :]:
            axes.set_visible(False)
        timings = [
            t for entries in by_method.values() for entry in entries for t in _sizes(summaries[entry.record_id], where)
        ]
        for number, axes in enumerate(panels):
            _scale(axes, timings)
            axes.tick_params(labelbottom=number + columns >= len(by_method))
        setting = board.setting
        figure.suptitle(
            f"{setting.dataset} {setting.split} · {setting.backbone} · {where}",
            x=0.01,
            ha="left",
            fontsize="medium",
            fontweight="bold",
        )
        figure.supxlabel("images a batch", fontsize="medium")
        figure.supylabel("speed-up over dense (×); dashed: theoretical, of MACs", fontsize="medium")
    return figure


def _draw_method(axes: Axes, method: str, curves: Mapping[str, Sequence[SpeedResult]]) -> None:
    import seaborn

    shown = list(curves.items())[:: -(-len(curves) // CURVES)]  # the table and the CSV have all
    colours = seaborn.color_palette("viridis", len(shown) + 1)
    axes.axhline(1, color=INK, linewidth=1.0, zorder=1)
    for (name, found), colour in zip(shown, colours, strict=False):
        if found:
            _draw_point(axes, found, colour, name)
    axes.set_title(method, loc="left", fontsize="medium")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(colors=FAINT, labelcolor=INK)
    axes.legend(loc="best", fontsize="x-small", frameon=True, framealpha=0.85, edgecolor="none")


def _sizes(summary: SpeedSummary, where: Conditions) -> list[SpeedResult]:
    curve = curve_at(summary, where)
    return [timing for timing in curve.sizes if timing.speedup is not None] if curve else []


def _scale(axes: Axes, timings: Sequence[SpeedResult]) -> None:
    """The same for all panels: every batch size that was measured, and from 0 to the highest promise or finding."""
    from matplotlib.ticker import FixedLocator, NullLocator, ScalarFormatter

    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_locator(FixedLocator(sorted({timing.batch_size for timing in timings})))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(ScalarFormatter())
    highest = max((max(t.speedup_high or t.speedup or 0, t.speedup_theoretical or 0) for t in timings), default=1.0)
    axes.set_ylim(0, 1.06 * max(highest, 1.0))


def _draw_point(axes: Axes, found: Sequence[SpeedResult], colour: Any, label: str) -> None:
    x = [timing.batch_size for timing in found]
    realised = [timing.speedup or 0.0 for timing in found]
    low = [timing.speedup if timing.speedup_low is None else timing.speedup_low for timing in found]
    high = [timing.speedup if timing.speedup_high is None else timing.speedup_high for timing in found]
    axes.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0, zorder=2)  # type: ignore[arg-type]
    axes.plot(x, realised, color=colour, marker="o", markersize=5, markeredgecolor="white", label=label, zorder=4)
    promised = [timing.speedup_theoretical or float("nan") for timing in found]
    axes.plot(x, promised, color=colour, linestyle=(0, (4, 3)), linewidth=1.2, zorder=3)
