"""The picture of speed: realised against promised speed-up over the batch, a panel for each method."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dynvit.files import write_whole
from dynvit.leaderboard.board import Entry, Leaderboard
from dynvit.leaderboard.figure import FAINT, INK, STYLE, write_figure
from dynvit.leaderboard.naming import point_names
from dynvit.leaderboard.record import SpeedRecord
from dynvit.measurements.speed.summary import Conditions, curve_at, shown

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
    "speedup_promised",
    "speedup_share",
    "peak_memory_mb",
    "dense_peak_memory_mb",
    "energy_mj_per_image",
    "dense_energy_mj_per_image",
    "rounds_kept",
    "rounds_run",
)


def render_speed(board: Leaderboard, folder: str | os.PathLike[str], name: str = "speed") -> list[Path]:
    """Write ``NAME.png``, ``NAME.svg`` and ``NAME.csv`` (every timing); nothing where nothing was timed.

    Returns the paths.
    """
    chosen = shown(board)
    if chosen is None:
        return []
    folder = Path(folder)
    written = write_figure(draw_speed(board, chosen[0]), folder, name)
    path = folder / f"{name}.csv"
    write_whole(path, timed(board).encode())
    return [*written, path]


def timed(board: Leaderboard) -> str:
    """Every timing as CSV, those of other devices and types too."""
    text = io.StringIO()
    where = ["device", "dtype", "threads", "execution_mode", "dense_execution_mode"]
    first = ["method", "record_id", "knobs", *where, "break_even_batch"]
    table = csv.DictWriter(text, [*first, *NUMBERS], lineterminator="\n")
    table.writeheader()
    for entry in board.entries:
        for ladder in entry.speed:
            about: dict[str, Any] = ladder.model_dump(exclude={"sizes"})
            about |= {
                "method": entry.method,
                "record_id": entry.record_id,
                "knobs": json.dumps(entry.knobs, sort_keys=True),
            }
            for timing in ladder.sizes:
                table.writerow(about | timing.model_dump(include=set(NUMBERS)))
    return text.getvalue()


def draw_speed(board: Leaderboard, where: Conditions) -> Figure:
    """A panel a method: lines are what the clock found, with the spread of the rounds; dashes are the promise."""
    import matplotlib
    import seaborn
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    by_method: dict[str, list[Entry]] = {}
    for entry in board.entries:
        if curve_at(entry, where) is not None:
            by_method.setdefault(entry.method, []).append(entry)
    columns, names = min(COLUMNS, len(by_method)), point_names(board)
    rows = -(-len(by_method) // columns)
    style: Any = {**seaborn.axes_style("whitegrid"), **seaborn.plotting_context("notebook", font_scale=0.85), **STYLE}
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(3.7 * columns + 0.6, 3.3 * rows + 0.9), layout="constrained")
        FigureCanvasAgg(figure)
        panels = list(chain.from_iterable(figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)))
        for axes, (method, entries) in zip(panels, by_method.items(), strict=False):
            _draw_method(axes, method, entries, where, names)
        for axes in panels[len(by_method) :]:
            axes.set_visible(False)
        timings = [t for entries in by_method.values() for entry in entries for t in _sizes(entry, where)]
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
        figure.supylabel("speed-up over dense (×); dashed: promised by MACs", fontsize="medium")
    return figure


def _draw_method(
    axes: Axes, method: str, entries: Sequence[Entry], where: Conditions, names: Mapping[str, str]
) -> None:
    import seaborn

    entries = entries[:: -(-len(entries) // CURVES)]  # the table and the CSV have all
    colours = seaborn.color_palette("viridis", len(entries) + 1)
    axes.axhline(1, color=INK, linewidth=1.0, zorder=1)
    for entry, colour in zip(entries, colours, strict=False):
        if found := _sizes(entry, where):
            _draw_point(axes, found, colour, names[entry.record_id])
    axes.set_title(method, loc="left", fontsize="medium")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(colors=FAINT, labelcolor=INK)
    axes.legend(loc="best", fontsize="x-small", frameon=True, framealpha=0.85, edgecolor="none")


def _sizes(entry: Entry, where: Conditions) -> list[SpeedRecord]:
    ladder = curve_at(entry, where)
    return [timing for timing in ladder.sizes if timing.speedup is not None] if ladder else []


def _scale(axes: Axes, timings: Sequence[SpeedRecord]) -> None:
    """The same for all panels: every batch size that was measured, and from 0 to the highest promise or finding."""
    from matplotlib.ticker import FixedLocator, NullLocator, ScalarFormatter

    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_locator(FixedLocator(sorted({timing.batch_size for timing in timings})))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(ScalarFormatter())
    highest = max((max(t.speedup_high or t.speedup or 0, t.speedup_promised or 0) for t in timings), default=1.0)
    axes.set_ylim(0, 1.06 * max(highest, 1.0))


def _draw_point(axes: Axes, found: Sequence[SpeedRecord], colour: Any, label: str) -> None:
    x = [timing.batch_size for timing in found]
    realised = [timing.speedup or 0.0 for timing in found]
    low = [timing.speedup if timing.speedup_low is None else timing.speedup_low for timing in found]
    high = [timing.speedup if timing.speedup_high is None else timing.speedup_high for timing in found]
    axes.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0, zorder=2)  # type: ignore[arg-type]
    axes.plot(x, realised, color=colour, marker="o", markersize=5, markeredgecolor="white", label=label, zorder=4)
    promised = [timing.speedup_promised or float("nan") for timing in found]
    axes.plot(x, promised, color=colour, linestyle=(0, (4, 3)), linewidth=1.2, zorder=3)
