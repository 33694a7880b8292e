"""Robust accuracy over the radius: one point of each method, all at about the same compute."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from dynvit.errors import InputError
from dynvit.leaderboard.board import Entry, Leaderboard
from dynvit.leaderboard.drawing import ranked
from dynvit.leaderboard.naming import point_names
from dynvit.leaderboard.palette import FAINT, style_of
from dynvit.measurements.robustness.measurement import Robustness
from dynvit.measurements.robustness.summary import RobustnessSummary
from dynvit.report.paper_figures.look import (
    Width,
    bars,
    handle_of,
    legend_lines,
    look_of,
    paper_canvas,
    put_legend,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Attacked = tuple[Entry, RobustnessSummary]
NORMS = {"linf": "L∞", "l2": "L2"}


def draw_robust(board: Leaderboard, width: Width, share: float) -> Figure:
    """Accuracy under the worst of all attacks within each radius, clean accuracy at 0, of the norm with most radii.

    Of each method the attacked entry whose cost is nearest to ``share`` of dense. Bars are 95 % intervals; the clean
    accuracy is that of the attacked images.

    Raises: ``InputError`` where nothing was attacked.
    """
    import seaborn

    norm, chosen = _chosen(board, share)
    labels = [method for method in ranked(board) if method in chosen]
    scale, unit = (255, "/255") if norm == "linf" else (1, "")
    with paper_canvas(width, legend_lines(labels, width)) as (figure, axes):
        for method in labels:
            balls = sorted((b for b in chosen[method][1].accuracy if b.norm == norm), key=lambda ball: ball.eps)
            x, y = [0.0, *(scale * b.eps for b in balls)], [balls[0].clean_pct, *(b.accuracy_pct for b in balls)]
            bars(axes, x[1:], y[1:], [(b.ci95_low_pct, b.ci95_high_pct) for b in balls], style_of(method).colour)
            look = look_of(method)
            seaborn.lineplot(x=x, y=y, ax=axes, estimator=None, errorbar=None, legend=False, zorder=3, **look)
        chance = 100 / board.setting.num_classes
        axes.axhline(chance, color=FAINT, linewidth=0.6, linestyle=(0, (2, 3)), zorder=1)
        axes.set_xlabel(f"radius ε, {NORMS.get(norm, norm)}{f' ({unit})' if unit else ''}")
        axes.set_ylabel("accuracy under attack (%)")
        axes.set_ylim(bottom=min(-2.0, axes.get_ylim()[0]))
        axes.margins(x=0.04)
        n = max(ball.n for _, found in chosen.values() for ball in found.accuracy)
        axes.text(0.985, 0.96, f"{n:,} images, worst of all attacks", transform=axes.transAxes, ha="right", va="top",
                  fontsize=6)  # fmt: skip
        put_legend(figure, [handle_of(method, method) for method in labels], width)
    return figure


def said_of_robust(board: Leaderboard, share: float) -> Iterator[str]:
    """The points of the picture, for its caption. Raises: as ``draw_robust``."""
    names, dense = point_names(board), board.setting.dense_gmacs
    _, chosen = _chosen(board, share)
    for method in (name for name in ranked(board) if name in chosen):
        entry = chosen[method][0]
        cost = f"{entry.gmacs_mean:.4g} GMACs, {100 * entry.gmacs_mean / dense:.0f} % of dense"
        yield f"{method}: {names[entry.record_id]}, {cost}"


def _chosen(board: Leaderboard, share: float) -> tuple[str, dict[str, Attacked]]:
    attacked = [(entry, found) for entry, found in Robustness.measured(board) if found.accuracy]
    if not attacked:
        raise InputError("the board has no robust accuracies: measure with dynvit bench --robustness")
    norms = [ball.norm for _, found in attacked for ball in found.accuracy]
    norm = max(sorted(set(norms)), key=norms.count)
    wanted, nearest = share * board.setting.dense_gmacs, dict[str, Attacked]()
    for entry, summary in attacked:
        known = nearest.get(entry.method)
        if any(ball.norm == norm for ball in summary.accuracy) and (
            known is None or abs(entry.gmacs_mean - wanted) < abs(known[0].gmacs_mean - wanted)
        ):
            nearest[entry.method] = entry, summary
    return norm, nearest
