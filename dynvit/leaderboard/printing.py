"""All that a board says, on the terminal."""

from __future__ import annotations

from rich.console import Console

from dynvit.leaderboard.board import Leaderboard
from dynvit.leaderboard.table import table
from dynvit.measurements.corruption.table import corruption_table, seeds_table
from dynvit.measurements.robustness.table import findings, robust_table
from dynvit.measurements.speed.table import speed_table


def print_board(board: Leaderboard, console: Console) -> None:
    """A table of each thing that was measured, then the signs of masked gradients."""
    for shown in (table(board), robust_table(board), corruption_table(board), speed_table(board), seeds_table(board)):
        if shown is not None:
            console.print(shown)
    for line in findings(board):
        console.print(line, markup=False, soft_wrap=True)
