"""All pictures of a board, and the numbers behind them."""

from __future__ import annotations

import os
from pathlib import Path

from dynvit.leaderboard.board import Leaderboard
from dynvit.leaderboard.render import render
from dynvit.leaderboard.render_speed import render_speed
from dynvit.leaderboard.robust_picture import render_robust


def write_pictures(board: Leaderboard, folder: str | os.PathLike[str]) -> list[Path]:
    """The front, and where they were measured robustness and speed. Returns the paths."""
    return [*render(board, folder), *render_robust(board, folder), *render_speed(board, folder)]
