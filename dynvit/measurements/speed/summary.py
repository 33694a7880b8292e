"""From timings to what the board says of them: ladders over the batch, the break-even batch, the one to be shown."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from dynvit.leaderboard.board import Entry, Leaderboard, SpeedCurve
from dynvit.leaderboard.record import SpeedRecord


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


def speed_curves(timings: Iterable[SpeedRecord]) -> tuple[SpeedCurve, ...]:
    """The timings of one record, by conditions and then by batch size; the same batch twice: the later stands."""
    found: dict[Conditions, dict[int, SpeedRecord]] = defaultdict(dict)
    for timing in timings:
        found[conditions(timing)][timing.batch_size] = timing
    return tuple(_ladder(where, found[where]) for where in sorted(found, key=str))


def conditions(of: SpeedRecord | SpeedCurve) -> Conditions:
    """On what, and in which way, it was timed."""
    return Conditions(of.device, of.dtype, of.threads, of.execution_mode, of.dense_execution_mode)


def break_even(timings: Iterable[SpeedRecord]) -> int | None:
    """The smallest batch size at which the method was faster than dense in every quiet round; None where at none."""
    return min((t.batch_size for t in timings if t.speedup_low is not None and t.speedup_low > 1), default=None)


def shown(board: Leaderboard) -> tuple[Conditions, int] | None:
    """The conditions and the batch size that one table can show: those that most entries have.

    Of several batch sizes it is the largest, where the time is the arithmetic's rather than the launching's. None where
    nothing was timed.
    """
    where = Counter(conditions(ladder) for entry in board.entries for ladder in entry.speed)
    if not where:
        return None
    chosen = min(where, key=lambda each: (-where[each], str(each)))
    sizes = Counter(
        timing.batch_size for entry in board.entries if (found := curve_at(entry, chosen)) for timing in found.sizes
    )
    return chosen, max(sizes, key=lambda size: (sizes[size], size))


def curve_at(entry: Entry, where: Conditions) -> SpeedCurve | None:
    """An entry's timings under these conditions; None where it was not timed so."""
    return next((ladder for ladder in entry.speed if conditions(ladder) == where), None)


def timing_at(entry: Entry, where: Conditions, batch_size: int) -> SpeedRecord | None:
    """One of them."""
    ladder = curve_at(entry, where)
    return next((timing for timing in ladder.sizes if timing.batch_size == batch_size), None) if ladder else None


def _ladder(where: Conditions, by_size: dict[int, SpeedRecord]) -> SpeedCurve:
    sizes = tuple(by_size[size] for size in sorted(by_size))
    return SpeedCurve(**where._asdict(), break_even_batch=break_even(sizes), sizes=sizes)
