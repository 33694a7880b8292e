"""Interleaved timing of two calls: the base, the other, the base again. It knows no model.

A busy machine slows everything two to five times for seconds at a time. So the two alternate, a ratio is taken of
neighbouring times, and a round in which either was slowed is not valid. Both do the same work in every round, so that
only the machine slows one of them. The same limit holds for both: a limit on the base alone would select the rounds in
which the base was fast by chance.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

VALID_WITHIN = 1.25
"""A round is valid where each of the two took at most this many times its own best."""


@dataclass(frozen=True)
class Round:
    """One round: the base, the other, the base again. Units: seconds."""

    before: float
    other: float
    after: float

    @property
    def base(self) -> float:
        """The base: the mean of its two times."""
        return (self.before + self.after) / 2

    @property
    def speedup(self) -> float:
        """How many times as fast as the base the other is."""
        return self.base / self.other


@dataclass(frozen=True)
class Comparison:
    """The rounds of one run."""

    rounds: tuple[Round, ...]

    @property
    def valid_indices(self) -> list[int]:
        """The indices of the valid rounds: those in which nothing else slowed the base or the other."""
        base = VALID_WITHIN * min((min(r.before, r.after) for r in self.rounds), default=0.0)
        other = VALID_WITHIN * min((r.other for r in self.rounds), default=0.0)
        return [n for n, r in enumerate(self.rounds) if max(r.before, r.after) <= base and r.other <= other]

    @property
    def valid(self) -> list[Round]:
        """The valid rounds."""
        return [self.rounds[index] for index in self.valid_indices]

    @property
    def speedup(self) -> float:
        """The median over the valid rounds, NaN where there is none."""
        return statistics.median([r.speedup for r in self.valid] or [float("nan")])

    def __str__(self) -> str:
        found = [r.speedup for r in self.valid]
        spread = f" ({min(found):.3f} to {max(found):.3f})" if found else ""
        return f"{self.speedup:.3f}{spread}"


def interleave(base: Callable[[], float], other: Callable[[], float], *, rounds: int, most: int) -> Comparison:
    """Alternate the two until ``rounds`` rounds are valid, or ``most`` have been run.

    Units: ``base`` and ``other`` do their work and return how long it took, in seconds.
    """
    comparison, after = Comparison(()), base()
    while len(comparison.valid_indices) < rounds and len(comparison.rounds) < most:
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
    """``interleave`` for two calls on a clock, after ``warmup`` calls of each that are not timed."""
    for _ in range(warmup):
        base()
        other()

    def seconds(call: Callable[[], object]) -> float:
        start = clock()
        call()
        return clock() - start

    return interleave(lambda: seconds(base), lambda: seconds(other), rounds=rounds, most=most)
