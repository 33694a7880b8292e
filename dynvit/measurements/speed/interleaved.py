"""Two things timed in turns: the base, the other, the base again. Numbers in, numbers out; no model is known here.

A busy machine slows everything two to five times for seconds at a time. So two things are never timed apart: they take
turns, a ratio is made of neighbours, and a turn in which either was slowed is not counted. Both do the same work in
every turn, so what slows one of them is the machine; and both are held to the same limit: to ask it of the base alone
would pick the moments in which the base was lucky.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

QUIET = 1.25
"""A round counts where each took at most this many times its own best."""


@dataclass(frozen=True)
class Round:
    """One turn: the base, the other, the base again. Units: seconds."""

    before: float
    other: float
    after: float

    @property
    def base(self) -> float:
        """The base beside the other: the mean of its two times."""
        return (self.before + self.after) / 2

    @property
    def speedup(self) -> float:
        """How many times as fast the other is."""
        return self.base / self.other


@dataclass(frozen=True)
class Comparison:
    """The rounds of one run."""

    rounds: tuple[Round, ...]

    @property
    def kept(self) -> list[int]:
        """The numbers of the rounds in which nothing else slowed the base or the other."""
        base = QUIET * min((min(r.before, r.after) for r in self.rounds), default=0.0)
        other = QUIET * min((r.other for r in self.rounds), default=0.0)
        return [n for n, r in enumerate(self.rounds) if max(r.before, r.after) <= base and r.other <= other]

    @property
    def quiet(self) -> list[Round]:
        """Those rounds."""
        return [self.rounds[number] for number in self.kept]

    @property
    def speedup(self) -> float:
        """The median over the quiet rounds, NaN where there is none."""
        return statistics.median([r.speedup for r in self.quiet] or [float("nan")])

    def __str__(self) -> str:
        found = [r.speedup for r in self.quiet]
        spread = f" ({min(found):.3f} to {max(found):.3f})" if found else ""
        return f"{self.speedup:.3f}{spread}"


def interleave(base: Callable[[], float], other: Callable[[], float], *, rounds: int, most: int) -> Comparison:
    """Let the two take turns until ``rounds`` were quiet, or ``most`` were run.

    Units: ``base`` and ``other`` do their work and return its seconds.
    """
    comparison, after = Comparison(()), base()
    while len(comparison.kept) < rounds and len(comparison.rounds) < most:
        before, between = after, other()
        after = base()
        comparison = Comparison((*comparison.rounds, Round(before, between, after)))
    return comparison


def interleaved(
    base: Callable[[], object],
    other: Callable[[], object],
    *,
    rounds: int,
    most: int,
    warmup: int = 2,
    clock: Callable[[], float] = time.perf_counter,
) -> Comparison:
    """``interleave`` for two calls on a clock, after ``warmup`` calls of each that nobody times."""
    for _ in range(warmup):
        base()
        other()

    def seconds(call: Callable[[], object]) -> float:
        start = clock()
        call()
        return clock() - start

    return interleave(lambda: seconds(base), lambda: seconds(other), rounds=rounds, most=most)
