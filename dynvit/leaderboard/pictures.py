"""All pictures of a board, and the numbers behind them."""

from __future__ import annotations

import os
from pathlib import Path

from dynvit.leaderboard.board import Leaderboard
from dynvit.leaderboard.figure import render
from dynvit.measurements.robustness.figure import render_robust
from dynvit.measurements.speed.figure import render_speed


def write_pictures(board: Leaderboard, folder: str | os.PathLike[str]) -> list[Path]:
    """The front, and where they were measured robustness and speed. Returns the paths."""
    return [*render(board, folder), *render_robust(board, folder), *render_speed(board, folder)]
