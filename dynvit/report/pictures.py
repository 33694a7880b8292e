"""All pictures of a board, and the numbers behind them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dynvit.files import write_whole
from dynvit.leaderboard.board import Leaderboard
from dynvit.leaderboard.figure import draw, rows, write_figure
from dynvit.measurements.base import measurements


def write_pictures(board: Leaderboard, folder: str | os.PathLike[str]) -> list[Path]:
    """``front`` and one for each measurement that draws: NAME.png, NAME.svg and NAME.csv. Returns the paths.

    The same board gives the same bytes.
    """
    folder = Path(folder)
    written = [*write_figure(draw(board), folder, "front"), write_rows(rows(board), folder / "front.csv")]
    for name, kind in measurements.load_all().items():
        figure, plotted = kind.figure(board), kind.rows(board)
        if figure is not None:
            written += write_figure(figure, folder, name)
        if plotted:
            written.append(write_rows(plotted, folder / f"{name}.csv"))
    return written


def write_rows(rows: Sequence[Mapping[str, Any]], path: Path) -> Path:
    """A line each, the columns in the order in which they first come; empty where there is no value."""
    import pandas as pd

    # As objects: a column with gaps would turn its counts and flags into fractions.
    table = pd.DataFrame(list(rows), dtype=object)
    write_whole(path, table.to_csv(index=False, lineterminator="\n").encode())
    return path
