"""What the index shows of a board: its front in a few numbers and as a small picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dynvit.leaderboard.board import Entry, Leaderboard
from dynvit.leaderboard.table import ranked_by_offer
from dynvit.site.source import Source

WIDTH, HEIGHT, _EDGE = 168, 56, 6
"""Pixels of the small picture."""


@dataclass(frozen=True)
class Glance:
    """A board on the index. ``first``: the methods that may be the best, with what their fronts offer, percent.

    ``marks``: of the front, x, y, and the place of the method's mark.
    """

    name: str
    board: Leaderboard
    methods: Sequence[str]
    divisions: Sequence[str]
    measured: Sequence[str]
    tiers: Sequence[str]
    first: Sequence[tuple[str, float]]
    stairs: str
    marks: Sequence[tuple[float, float, str]]


def glance_at(source: Source, divisions: Sequence[str], tiers: Sequence[str]) -> Glance:
    """A board as the index shows it."""
    board = source.board
    front = sorted((entry for entry in board.entries if entry.on_front), key=lambda entry: entry.gmacs_mean)
    points = _scaled(front, board.setting.dense_gmacs)
    return Glance(
        name=source.name,
        board=board,
        methods=[method.name for method in board.methods],
        divisions=divisions,
        measured=sorted({name for entry in board.entries for name in entry.measurements}),
        tiers=tiers,
        first=[(name, found.mean_pct) for name, found in ranked_by_offer(board) if found.rank_best == 1],
        stairs=_stairs(points),
        marks=[(x, y, entry.method) for (x, y), entry in zip(points, front, strict=True)],
    )


def _scaled(front: Sequence[Entry], dense: float) -> list[tuple[float, float]]:
    if not front:  # of a board that somebody edited: there is always one
        return []
    low, high = min(e.top1_pct for e in front), max(e.top1_pct for e in front)
    across = max(dense, max(e.gmacs_mean for e in front))
    tall, wide = HEIGHT - 2 * _EDGE, WIDTH - 2 * _EDGE
    return [
        (
            round(_EDGE + wide * entry.gmacs_mean / across, 1),
            round(_EDGE + tall * (1 - (entry.top1_pct - low) / (high - low or 1)), 1),
        )
        for entry in front
    ]


def _stairs(points: Sequence[tuple[float, float]]) -> str:
    """The path of the front, to the right edge."""
    if not points:
        return ""
    first, *rest = points
    return f"M{first[0]},{first[1]}" + "".join(f"H{x}V{y}" for x, y in rest) + f"H{WIDTH - _EDGE}"
