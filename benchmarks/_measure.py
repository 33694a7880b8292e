"""What the benchmarks share: two things timed in turns, and a table of numbers wanted and measured.

A busy machine slows everything two to five times for seconds at a time. So two things are never timed apart: they take
turns, a ratio is made of neighbours, and a turn in which the base itself was slowed is not counted.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from dynvit.errors import InputError

QUIET = 1.25
"""A round counts where the base took at most this many times its best."""


@dataclass(frozen=True)
class Round:
    """One turn: the base, the other, the base again. Units: seconds."""

    before: float
    other: float
    after: float

    @property
    def speedup(self) -> float:
        """How many times as fast the other is."""
        return (self.before + self.after) / 2 / self.other


@dataclass(frozen=True)
class Comparison:
    """The rounds of one run."""

    rounds: tuple[Round, ...]

    @property
    def quiet(self) -> list[Round]:
        """The rounds in which nothing else slowed the base."""
        limit = QUIET * min((min(r.before, r.after) for r in self.rounds), default=0.0)
        return [r for r in self.rounds if max(r.before, r.after) <= limit]

    @property
    def speedup(self) -> float:
        """The median over the quiet rounds, NaN where there is none."""
        return statistics.median([r.speedup for r in self.quiet] or [float("nan")])

    def __str__(self) -> str:
        found = [r.speedup for r in self.quiet]
        spread = f" ({min(found):.3f} to {max(found):.3f})" if found else ""
        return f"{self.speedup:.3f}{spread}"


def interleaved(
    base: Callable[[], object],
    other: Callable[[], object],
    *,
    rounds: int,
    most: int,
    warmup: int = 2,
    clock: Callable[[], float] = time.perf_counter,
) -> Comparison:
    """Run the two in turns until ``rounds`` were quiet, or ``most`` were run."""
    for _ in range(warmup):
        base()
        other()
    comparison, after = Comparison(()), _seconds(base, clock)
    while len(comparison.quiet) < rounds and len(comparison.rounds) < most:
        before, between = after, _seconds(other, clock)
        after = _seconds(base, clock)
        comparison = Comparison((*comparison.rounds, Round(before, between, after)))
    return comparison


@dataclass(frozen=True)
class Row:
    """One number of a table. ``reached`` is None for a number that is only told."""

    what: str
    measured: str
    wanted: str = ""
    reached: bool | None = None


def rounds_row(comparison: Comparison, rounds: int) -> Row:
    """Whether the machine was quiet for long enough to say anything."""
    kept = len(comparison.quiet)
    return Row("quiet rounds", f"{kept} of {len(comparison.rounds)}", f"≥ {rounds}", kept >= rounds)


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


def _seconds(call: Callable[[], object], clock: Callable[[], float]) -> float:
    start = clock()
    call()
    return clock() - start
