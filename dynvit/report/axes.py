"""Every number of a board that a picture may have as an axis, over all registered measurements."""

from __future__ import annotations

from dynvit.leaderboard.axes import Axis, entry_axes
from dynvit.leaderboard.board import Leaderboard
from dynvit.measurements.base import measurements


def axes_of(board: Leaderboard) -> tuple[Axis, ...]:
    """Those that some entry has a number for; the entries' own first."""
    further = (axis for kind in measurements.load_all().values() for axis in kind.axes(board))
    return tuple(axis for axis in (*entry_axes(board), *further) if axis.readings)
