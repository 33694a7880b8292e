"""Timings on the terminal."""

from __future__ import annotations

from collections.abc import Iterable

from rich.table import Table

from dynvit.leaderboard.board import Entry, Leaderboard
from dynvit.leaderboard.naming import point_names
from dynvit.leaderboard.record import SpeedRecord
from dynvit.leaderboard.table import plain_table
from dynvit.measurements.speed.summary import Conditions, curve_at, shown, timing_at

MEANING = (
    "× dense: speed-up, and the least and most of the quiet rounds · of promise: the share of the speed-up promised by "
    "MACs · rounds: quiet of run · from: the batch from which it was faster in every quiet round"
)


def speed_table(board: Leaderboard) -> Table | None:
    """One row an entry that was timed, at the batch that most have; None where nothing was."""
    chosen = shown(board)
    if chosen is None:
        return None
    where, batch = chosen
    table = _table(f"speed at batch {batch} · {where}", MEANING, ("method", "point"), ("from",))
    names = point_names(board)
    timed = [entry for entry in board.entries if timing_at(entry, where, batch)]
    for i, entry in enumerate(timed):
        timing = timing_at(entry, where, batch)
        assert timing is not None
        last = i + 1 == len(timed) or timed[i + 1].method != entry.method
        table.add_row(entry.method, names[entry.record_id], *_cells(timing), _from(entry, where), end_section=last)
    return table


def curve_table(title: str, timings: Iterable[SpeedRecord]) -> Table:
    """One row a batch size: what ``dynvit speed`` prints of a point."""
    table = _table(title, "", ("batch",), ("p50 ms", "p95", "p99", "MB"))
    for timing in timings:
        rest = (timing.latency_p50_ms, timing.latency_p95_ms, timing.latency_p99_ms, timing.peak_memory_mb)
        table.add_row(str(timing.batch_size), *_cells(timing), *("–" if x is None else f"{x:.4g}" for x in rest))
    return table


def _table(title: str, caption: str, names: Iterable[str], more: Iterable[str]) -> Table:
    made = plain_table(title, caption)
    for name in names:
        made.add_column(name, overflow="fold", no_wrap=name != "point", min_width=10 if name == "point" else None)
    for heading in ("img/s", "× dense", "of promise", "rounds", *more):
        made.add_column(heading, justify="right", no_wrap=True)
    return made


def _cells(timing: SpeedRecord) -> tuple[str, ...]:
    if timing.speedup is None or timing.speedup_promised is None or timing.speedup_share is None:
        return (f"{timing.images_per_s:.4g}", "–", "–", "–")
    spread = "" if timing.speedup_low is None else rf" \[{timing.speedup_low:.2f}, {timing.speedup_high:.2f}]"
    return (
        f"{timing.images_per_s:.4g}",
        f"{timing.speedup:.2f}{spread}",
        f"{100 * timing.speedup_share:.0f} % of {timing.speedup_promised:.2f}",
        f"{timing.rounds_kept}/{timing.rounds_run}",
    )


def _from(entry: Entry, where: Conditions) -> str:
    ladder = curve_at(entry, where)
    return "never" if ladder is None or ladder.break_even_batch is None else str(ladder.break_even_batch)
