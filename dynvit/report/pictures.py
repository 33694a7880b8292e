"""All pictures of a board, and the numbers behind them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dynvit.figures import write_figure, write_rows
from dynvit.leaderboard.board import Leaderboard
from dynvit.leaderboard.figure import draw, rows
from dynvit.measurements.base import measurements

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write_pictures(
    board: Leaderboard, folder: str | os.PathLike[str], suffixes: Sequence[str] = ("png", "svg")
) -> list[Path]:
    """``front`` and one for each measurement that draws: NAME.png, NAME.svg and NAME.csv. Returns the paths.

    The same board gives the same bytes.
    """
    folder = Path(folder)
    written = [*_each(draw(board), folder, "front", suffixes), write_rows(rows(board), folder / "front.csv")]
    for name, kind in measurements.load_all().items():
        figure, plotted = kind.figure(board), kind.rows(board)
        if figure is not None:
            written += _each(figure, folder, name, suffixes)
        if plotted:
            written.append(write_rows(plotted, folder / f"{name}.csv"))
    return written


def _each(figure: Figure, folder: Path, name: str, suffixes: Sequence[str]) -> list[Path]:
    return [write_figure(figure, folder / f"{name}.{suffix}", dpi=200) for suffix in suffixes]
