"""The picture of a front, and the plotted data beside it."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dynvit.files import write_whole
from dynvit.leaderboard.board import Entry, Leaderboard

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p", "<", ">", "h", "d")
PAPER = " (paper)"
INK, FAINT = "#2b2b2b", "#8a8a8a"
STYLE: Any = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same letters on every machine
    "axes.edgecolor": "#b5b5b5",
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": "#efefef",
    "grid.linewidth": 0.8,
    "axes.linewidth": 1.0,
    "svg.hashsalt": "dynvit",  # ids in the svg are random without it
    "svg.fonttype": "path",
}


def write_figure(figure: Figure, folder: Path, name: str) -> list[Path]:
    """``NAME.png`` and ``NAME.svg``: the same figure, the same bytes."""
    import matplotlib

    written = []
    # No date and no library version in the files: they would differ on every run.
    for suffix, metadata in (("png", {"Software": None}), ("svg", {"Date": None, "Creator": None})):
        buffer = io.BytesIO()
        with matplotlib.rc_context(STYLE):
            figure.savefig(buffer, format=suffix, dpi=200, metadata=metadata)
        path = folder / f"{name}.{suffix}"
        write_whole(path, buffer.getvalue())
        written.append(path)
    return written


def rows(board: Leaderboard) -> list[dict[str, Any]]:
    """What is plotted: a row for each entry, then one for each published row."""
    keys = {"gmacs_mean", "gmacs_p5", "gmacs_p95", "saving_pct", "top1_pct", "top1_ci95_low_pct", "top1_ci95_high_pct"}
    flags = ("baseline", "on_method_front", "on_front")
    measured = [
        {"provenance": "measured", "method": entry.method, "record_id": entry.record_id}
        | {"knobs": json.dumps(entry.knobs, sort_keys=True)}
        | entry.model_dump(include=keys)
        | {flag: int(getattr(entry, flag)) for flag in flags}
        for entry in board.entries
    ]
    return [*measured, *(paper.model_dump(include={"provenance", "method", *keys, "source"}) for paper in board.paper)]


def draw(board: Leaderboard) -> Figure:
    """The figure: accuracy over GMACs, a colour and a marker a method, a line through each one's front.

    Colours tell methods apart with any colour vision (seaborn's ``colorblind``), markers do so in print.
    Points off their method's front are faint; bars are the 95 % interval; hollow marks are papers' claims.
    """
    import matplotlib
    import seaborn
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    style: Any = {**seaborn.axes_style("whitegrid"), **seaborn.plotting_context("notebook", font_scale=0.9), **STYLE}
    # A figure of its own, without pyplot: no global state, no window, no display needed.
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(7.6, 5.0), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        _draw_dense(axes, board)
        names = [method.name for method in board.methods if not _all_baseline(board, method.name)]
        names += sorted({row.method for row in board.paper} - set(names))
        # Colours go by name, so that they stay when the ranking turns.
        for i, method in enumerate(names):
            colour = seaborn.color_palette("colorblind", 10)[i % 10]
            _draw_method(axes, board, method, colour, MARKERS[i % len(MARKERS)])
        _dress(axes, board)
    return figure


def _all_baseline(board: Leaderboard, method: str) -> bool:
    return all(entry.baseline for entry in board.entries if entry.method == method)


def _draw_dense(axes: Axes, board: Leaderboard) -> None:
    """The static backbone: a star, and its accuracy as a line across to compare with."""
    baselines = [entry for entry in board.entries if entry.baseline]
    if not baselines:
        return
    best = max(baselines, key=lambda entry: entry.top1_pct)
    axes.axhline(best.top1_pct, color=FAINT, linestyle=(0, (5, 4)), linewidth=1.0, zorder=1)
    _bars(axes, baselines, INK)
    axes.plot(
        [entry.gmacs_mean for entry in baselines],
        [entry.top1_pct for entry in baselines],
        linestyle="none",
        marker="*",
        markersize=15,
        color=INK,
        markeredgecolor="white",
        markeredgewidth=0.8,
        label=f"{best.method} ({best.top1_pct:.1f} %)",
        zorder=5,
    )


def _draw_method(axes: Axes, board: Leaderboard, method: str, colour: Any, marker: str) -> None:
    entries = [entry for entry in board.entries if entry.method == method and not entry.baseline]
    front = [entry for entry in entries if entry.on_method_front]
    rest = [entry for entry in entries if not entry.on_method_front]
    _bars(axes, front, colour)
    look: dict[str, Any] = {"color": colour, "marker": marker, "markeredgecolor": "white"}
    if front:
        axes.plot(*_xy(front), linewidth=1.7, markersize=7, markeredgewidth=0.8, label=method, zorder=4, **look)
    if rest:
        axes.plot(*_xy(rest), linestyle="none", markersize=5.5, markeredgewidth=0.5, alpha=0.45, zorder=3.5, **look)
    rows = [row for row in board.paper if row.method == method]
    if rows:
        axes.plot(
            [row.gmacs_mean for row in rows],
            [row.top1_pct for row in rows],
            linestyle="none",
            marker=marker,
            markersize=7,
            markerfacecolor="none",
            markeredgecolor=colour,
            markeredgewidth=1.3,
            label=method + PAPER,
            zorder=3,
        )


def _xy(entries: list[Entry]) -> tuple[list[float], list[float]]:
    return [entry.gmacs_mean for entry in entries], [entry.top1_pct for entry in entries]


def _bars(axes: Axes, entries: list[Entry], colour: Any) -> None:
    if not entries:
        return
    x, y = _xy(entries)
    below = [max(entry.top1_pct - entry.top1_ci95_low_pct, 0.0) for entry in entries]
    above = [max(entry.top1_ci95_high_pct - entry.top1_pct, 0.0) for entry in entries]
    axes.errorbar(x, y, yerr=[below, above], fmt="none", ecolor=colour, elinewidth=1.3, alpha=0.75, zorder=2)


def _dress(axes: Axes, board: Leaderboard) -> None:
    setting = board.setting
    axes.set_xlabel("GMACs per image (mean)")
    axes.set_ylabel("top-1 accuracy (%)")
    axes.margins(x=0.05, y=0.06)
    percent: Any = 100 / setting.dense_gmacs
    share = axes.secondary_xaxis("top", functions=(lambda gmacs: gmacs * percent, lambda pct: pct / percent))
    share.set_xlabel("% of dense", color=FAINT, fontsize="small")
    share.tick_params(colors=FAINT, labelsize="small", length=0)
    share.spines["top"].set_visible(False)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    title = f"{setting.dataset} {setting.split} · {setting.backbone} · {setting.n:,} images".replace(",", "\u202f")
    axes.set_title(title, loc="left", fontsize="medium", fontweight="bold", pad=14)
    worth = {method.name: method.hypervolume for method in board.methods}
    shown = sorted(
        zip(*axes.get_legend_handles_labels(), strict=True),
        # dense first, then the methods as they lie in the picture, best on top, papers last
        key=lambda pair: (pair[1] in worth or pair[1].endswith(PAPER), -worth.get(pair[1], -1.0)),
    )
    if shown:
        handles, labels = zip(*shown, strict=True)
        # Accuracy rises with compute, so the corner of much compute and little accuracy is free.
        axes.legend(
            handles, labels, loc="lower right", frameon=True, framealpha=0.9, edgecolor="none", fontsize="small"
        )
