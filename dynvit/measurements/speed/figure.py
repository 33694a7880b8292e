"""The picture of speed: realised over theoretical speed-up, a panel for each of a few batch sizes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dynvit.figures import INK
from dynvit.leaderboard.board import Entry, Leaderboard
from dynvit.leaderboard.drawing import Mark, canvas, draw_marks, dress, handle, legend_below, ranked, setting_of
from dynvit.leaderboard.palette import FAINT, style_of
from dynvit.measurements.speed.result import SpeedResult
from dynvit.measurements.speed.summary import Conditions, SpeedSummary, curve_at, timing_at

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANELS = 3
"""Batch sizes that are drawn at most: the smallest, the largest, and one between."""
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
EVEN: dict[str, Any] = {"color": INK, "linewidth": 1.0}
DIAGONAL: dict[str, Any] = {"color": FAINT, "linewidth": 1.2, "linestyle": (0, (5, 3))}

Timed = Sequence[tuple[Entry, SpeedResult]]


def rows(board: Leaderboard, summaries: Mapping[str, SpeedSummary]) -> list[dict[str, Any]]:
    """A row for each timing, those of other batch sizes, devices and types too."""
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
    """The figure: where a point lies on the diagonal, the clock confirms its MACs; above 1, it beats dense.

    Bars are the least and the most of the valid rounds. ``rows`` has every batch size.
    """
    panels_of = {
        size: timed for size in batch_sizes(summaries, where) if (timed := _timed(board, summaries, where, size))
    }
    limits = _limits([timing for timed in panels_of.values() for _, timing in timed])
    with canvas(4.1) as figure:
        panels = figure.subplots(1, max(len(panels_of), 1), sharex=True, sharey=True, squeeze=False)[0]
        for axes, (size, timed) in zip(panels, panels_of.items(), strict=False):
            _panel(axes, timed, limits)
            axes.set_title(f"batch size {size}", loc="left")
        panels[0].set_ylabel("realised speed-up (×)")
        panels[len(panels) // 2].set_xlabel("theoretical speed-up (of MACs, ×)")
        figure.suptitle(f"{setting_of(board)}\n{where}", x=0.012, ha="left", fontsize="medium", fontweight="bold")
        methods = {entry.method for timed in panels_of.values() for entry, _ in timed}
        handles = [handle(style_of(name), name, line=False) for name in ranked(board) if name in methods]
        legend_below(figure, handles, _guides())
    return figure


def batch_sizes(summaries: Mapping[str, SpeedSummary], where: Conditions) -> list[int]:
    """The batch sizes that are drawn: of those that most entries were timed at, a few evenly spread, ends included."""
    curves = [curve for summary in summaries.values() if (curve := curve_at(summary, where)) is not None]
    measured = [timing.batch_size for curve in curves for timing in curve.sizes if timing.speedup is not None]
    sizes = sorted({size for size in measured if 2 * measured.count(size) >= len(curves)} or set(measured))
    last = len(sizes) - 1
    if last < PANELS:
        return sizes
    return [sizes[round(place * last / (PANELS - 1))] for place in range(PANELS)]


def _timed(board: Leaderboard, summaries: Mapping[str, SpeedSummary], where: Conditions, size: int) -> Timed:
    found = []
    for entry in board.entries:
        timing = timing_at(summaries[entry.record_id], where, size) if entry.record_id in summaries else None
        if timing is not None and timing.speedup is not None and timing.speedup_theoretical is not None:
            found.append((entry, timing))
    return found


def _limits(timings: Sequence[SpeedResult]) -> tuple[float, float, float]:
    """The largest theoretical, the least and the largest realised speed-up, 1 included."""
    theoretical = max([t.speedup_theoretical or 1.0 for t in timings], default=1.0)
    low = min([t.speedup_low or t.speedup or 1.0 for t in timings], default=1.0)
    high = max([t.speedup_high or t.speedup or 1.0 for t in timings], default=1.0)
    return max(theoretical, 1.0), min(low, 1.0), max(high, 1.0)


def _panel(axes: Axes, timed: Timed, limits: tuple[float, float, float]) -> None:
    from matplotlib.ticker import MaxNLocator

    theoretical, low, high = limits
    axes.axhline(1, zorder=1, **EVEN)
    axes.axline((1, 1), slope=1, zorder=1, **DIAGONAL)
    for entry, timing in timed:
        assert timing.speedup is not None
        ends = (timing.speedup_low or timing.speedup, timing.speedup_high or timing.speedup)
        mark = Mark(timing.speedup_theoretical or 1.0, timing.speedup, *ends)
        draw_marks(axes, [mark], style_of(entry.method))
    left = min([timing.speedup_theoretical or 1.0 for _, timing in timed] + [1.0])
    axes.set_xlim(left - 0.06 * theoretical, 1.05 * theoretical)
    axes.set_ylim(max(low - 0.05 * high, 0), 1.05 * max(high, 0.9 * theoretical))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
    dress(axes)


def _guides() -> list[Any]:
    from matplotlib.lines import Line2D

    return [
        Line2D([], [], label="realised = theoretical", **DIAGONAL),
        Line2D([], [], label="as fast as dense", **EVEN),
    ]
