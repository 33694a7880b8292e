"""What the benchmarks share: a table of numbers wanted and measured.

Timing is interleaved, as the bench's own is (``dynvit.measurements.speed.interleaved``).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from dynvit.errors import InputError
from dynvit.measurements.speed.interleaved import Comparison, interleaved

__all__ = ["Comparison", "Row", "interleaved", "report", "rounds_row", "run"]


@dataclass(frozen=True)
class Row:
    """One number of a table. ``reached`` is None for a number that is only told."""

    what: str
    measured: str
    wanted: str = ""
    reached: bool | None = None


def rounds_row(comparison: Comparison, rounds: int) -> Row:
    """Whether there are enough valid rounds."""
    valid = len(comparison.valid)
    return Row("valid rounds", f"{valid} of {len(comparison.rounds)}", f"≥ {rounds}", valid >= rounds)


def report(title: str, rows: Sequence[Row]) -> NoReturn:
    """Print the numbers and end the program: with exit code 1 where one was not reached."""
    table = Table("", "measured", "wanted", "", title=title, title_justify="left", box=box.SIMPLE)
    said = {True: "ok", False: "NOT REACHED", None: ""}
    for row in rows:
        table.add_row(row.what, row.measured, row.wanted, said[row.reached])
    Console(highlight=False).print(table)
    raise typer.Exit(1 if any(row.reached is False for row in rows) else 0)


def run(benchmark: Callable[..., Any]) -> None:
    """Call ``benchmark`` with its options from the command line; wrong input is one line and exit code 2."""
    try:
        typer.run(benchmark)
    except InputError as error:
        sys.exit(_say(error))


def _say(error: InputError) -> int:
    print(f"error: {error}", file=sys.stderr)
    return 2
