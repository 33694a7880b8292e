"""From timings to what a board says of them: curves over the batch size, and the break-even batch size."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from pydantic import Field

from dynvit.leaderboard.record import Frozen, Name
from dynvit.measurements.speed.result import SpeedResult

LEAST_ROUNDS = 5
"""Valid rounds from which the least and the most of them say how sure a speed-up is."""


class SpeedCurve(Frozen):
    """One entry's timings in one way on one device, over the batch size."""

    device: Name = Field(description="device model")
    dtype: Name = Field(description="number type of the forward pass")
    threads: int | None = Field(ge=1, description="processor threads; null on an accelerator")
    execution_mode: Name = Field(description="what was timed")
    dense_execution_mode: Name | None = Field(default=None, description="the same of the dense backbone")
    break_even_batch: int | None = Field(
        ge=1,
        description="smallest measured batch from which it was faster than dense in every valid round, at all larger "
        "ones too; null: not at the largest, or of too few valid rounds there",
    )
    sizes: tuple[SpeedResult, ...] = Field(min_length=1, description="by rising batch size")


class SpeedSummary(Frozen):
    """One entry's timings."""

    curves: tuple[SpeedCurve, ...] = Field(description="by device, number type, threads and mode")


class Conditions(NamedTuple):
    """What timings must have in common before they may be compared."""

    device: str
    dtype: str
    threads: int | None
    execution_mode: str
    dense_execution_mode: str | None = None

    def __str__(self) -> str:
        threads = "" if self.threads is None else f", {self.threads} thread{'s' if self.threads > 1 else ''}"
        against = f" against {self.dense_execution_mode}" if self.dense_execution_mode else ""
        return f"{self.device}, {self.dtype}{threads}, {self.execution_mode}{against}"


def speed_curves(timings: Iterable[SpeedResult]) -> tuple[SpeedCurve, ...]:
    """The timings of one record, by conditions and then by batch size; the same batch twice: the later stands."""
    found: dict[Conditions, dict[int, SpeedResult]] = defaultdict(dict)
    for timing in timings:
        found[conditions(timing)][timing.batch_size] = timing
    return tuple(_curve(where, found[where]) for where in sorted(found, key=str))


def conditions(of: SpeedResult | SpeedCurve) -> Conditions:
    """On what, and in which way, it was timed."""
    return Conditions(of.device, of.dtype, of.threads, of.execution_mode, of.dense_execution_mode)


def break_even(timings: Iterable[SpeedResult], least_rounds: int = LEAST_ROUNDS) -> int | None:
    """The smallest batch size from which the method was faster than dense in every valid round, at all larger measured
    ones too, of so many rounds or more each; None where it was not at the largest."""
    first = None
    for timing in sorted(timings, key=lambda timing: -timing.batch_size):
        if timing.speedup_low is None or timing.speedup_low <= 1 or not enough_rounds(timing, least_rounds):
            break
        first = timing.batch_size
    return first


def enough_rounds(timing: SpeedResult, least: int = LEAST_ROUNDS) -> bool:
    """Whether the ends of its rounds tell anything: those of one round are its median."""
    return timing.rounds_valid is not None and timing.rounds_valid >= least


def shown(summaries: Mapping[str, SpeedSummary]) -> tuple[Conditions, int] | None:
    """The conditions and the batch size that one table can show: those that most entries have.

    Of several batch sizes it is the largest, where the time is the arithmetic's rather than the launching's. None where
    nothing was timed.
    """
    where = Counter(conditions(curve) for summary in summaries.values() for curve in summary.curves)
    if not where:
        return None
    chosen = min(where, key=lambda each: (-where[each], str(each)))
    sizes = Counter(
        timing.batch_size
        for summary in summaries.values()
        if (found := curve_at(summary, chosen))
        for timing in found.sizes
    )
    return chosen, max(sizes, key=lambda size: (sizes[size], size))


def curve_at(summary: SpeedSummary, where: Conditions) -> SpeedCurve | None:
    """An entry's timings under these conditions; None where it was not timed so."""
    return next((curve for curve in summary.curves if conditions(curve) == where), None)


def timing_at(summary: SpeedSummary, where: Conditions, batch_size: int) -> SpeedResult | None:
    """One of them."""
    curve = curve_at(summary, where)
    return next((timing for timing in curve.sizes if timing.batch_size == batch_size), None) if curve else None


def _curve(where: Conditions, by_size: dict[int, SpeedResult]) -> SpeedCurve:
    sizes = tuple(by_size[size] for size in sorted(by_size))
    return SpeedCurve(**where._asdict(), break_even_batch=break_even(sizes), sizes=sizes)
