"""The picture of a front, and the plotted data beside it."""

from __future__ import annotations

import json
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
    thousands,
    with_dominated_faint,
)
from dynvit.leaderboard.naming import point_names
from dynvit.leaderboard.palette import FAINT, Style, style_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def rows(board: Leaderboard) -> list[dict[str, Any]]:
    """What is plotted: a row for each entry, then one for each published row."""
    keys = {"gmacs_mean", "gmacs_p5", "gmacs_p95", "saving_pct", "top1_pct", "top1_ci95_low_pct", "top1_ci95_high_pct"}
    flags = ("baseline", "on_method_front", "on_front")
    names = point_names(board)
    measured = [
        {
            "provenance": "measured",
            "method": entry.method,
            "record_id": entry.record_id,
            "point": names[entry.record_id],
        }
        | {"knobs": json.dumps(entry.knobs, sort_keys=True)}
        | entry.model_dump(include=keys)
        | {flag: int(getattr(entry, flag)) for flag in flags}
        for entry in board.entries
    ]
    return [*measured, *(paper.model_dump(include={"provenance", "method", *keys, "source"}) for paper in board.paper)]


def draw(board: Leaderboard) -> Figure:
    """The figure: accuracy over GMACs, a colour and a marker a method, a staircase for each checkpoint's front.

    Points that another of their checkpoint dominates are faint; bars are the 95 % interval; hollow marks are papers'
    claims. Points far below all others stand at the lower edge, and the legend counts them.
    """
    groups = [(own[0].method, with_dominated_faint([_mark(e) for e in own])) for own in by_checkpoint(board.entries)]
    claims = [Mark(row.gmacs_mean, row.top1_pct, row.top1_pct, row.top1_pct) for row in board.paper]
    bottom = lowest_shown([marks for _, marks in groups], claims)
    with canvas(5.35 + 0.25 * -(-len(board.methods) // 6)) as figure:
        axes = figure.add_subplot()
        for method, marks in groups:
            style = style_of(method)
            if not _static(board, method):
                draw_stairs(axes, marks, style, board.setting.dense_gmacs)
            draw_marks(axes, [mark for mark in marks if mark.y >= bottom], style)
        for row, claim in zip(board.paper, claims, strict=True):
            draw_marks(axes, [claim], style_of(row.method), hollow=True)
        best = [entry.top1_pct for entry in board.entries if entry.baseline]
        if best:
            axes.axhline(max(best), color=FAINT, linestyle=(0, (5, 4)), linewidth=1.0, zorder=1)
        limit(axes, [mark for _, marks in groups for mark in marks] + claims, bottom)
        below = put_on_axis(axes, groups, bottom)
        _dress(axes, board)
        _legend(figure, board, any(mark.faint for _, marks in groups for mark in marks), below)
    return figure


def _mark(entry: Entry) -> Mark:
    return Mark(entry.gmacs_mean, entry.top1_pct, entry.top1_ci95_low_pct, entry.top1_ci95_high_pct)


def _static(board: Leaderboard, method: str) -> bool:
    return all(entry.baseline for entry in board.entries if entry.method == method)


def _dress(axes: Axes, board: Leaderboard) -> None:
    from matplotlib.ticker import MaxNLocator

    setting = board.setting
    axes.set_xlabel("GMACs per image (mean)")
    axes.set_ylabel("top-1 accuracy (%)")
    axes.yaxis.set_major_locator(MaxNLocator(nbins=9, steps=[1, 2, 5, 10]))
    percent: Any = 100 / setting.dense_gmacs
    share = axes.secondary_xaxis("top", functions=(lambda gmacs: gmacs * percent, lambda pct: pct / percent))
    share.set_xlabel("% of dense", color=FAINT)
    share.tick_params(colors=FAINT, length=0)
    share.spines["top"].set_visible(False)
    dress(axes)
    axes.set_title(f"{setting_of(board)} · {thousands(setting.n)} images", loc="left", fontweight="bold", pad=12)


def _legend(figure: Figure, board: Leaderboard, faint: bool, below: int) -> None:
    names = ranked(board)
    dense = max((entry.top1_pct for entry in board.entries if entry.baseline), default=0.0)
    handles = [handle(style_of(name), f"{name} ({dense:.1f} %)" if _static(board, name) else name) for name in names]
    only_claimed = sorted({row.method for row in board.paper} - set(names))
    handles += [handle(style_of(name), name, line=False, hollow=True) for name in only_claimed]
    notes = notes_on(faint, below)
    if board.paper:
        notes.append(handle(Style(FAINT, "o"), "hollow: a paper's claim", line=False, hollow=True))
    legend_below(figure, handles, notes)
