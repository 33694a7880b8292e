"""Timings on the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from dynvit.leaderboard.board import Leaderboard
from dynvit.leaderboard.naming import point_names
from dynvit.leaderboard.table import plain_table
from dynvit.measurements.speed.result import SpeedResult
from dynvit.measurements.speed.summary import (
    LEAST_ROUNDS,
    Conditions,
    SpeedSummary,
    break_even,
    conditions,
    curve_at,
    enough_rounds,
    shown,
    timing_at,
)
from dynvit.terminal import Table

MEANING = (
    "× dense: realised speed-up, and the least and most of the valid rounds · of theory: its share of the theoretical "
    "speed-up, of MACs · rounds: valid of run · even: break-even batch size, from which on every valid "
    f"round was faster, at all larger ones too; –: fewer than {LEAST_ROUNDS} valid rounds at the largest"
)


def speed_table(board: Leaderboard, summaries: Mapping[str, SpeedSummary]) -> Table | None:
    """One row an entry that was timed, at the batch that most have; None where nothing was."""
    chosen = shown(summaries)
    if chosen is None:
        return None
    where, batch = chosen
    table = _table(f"speed at batch {batch} · {where}", MEANING, ("method", "point"), ("break-\neven",))
    names = point_names(board)
    timed = [
        (entry, timing)
        for entry in board.entries
        if entry.record_id in summaries and (timing := timing_at(summaries[entry.record_id], where, batch))
    ]
    for i, (entry, timing) in enumerate(timed):
        last = i + 1 == len(timed) or timed[i + 1][0].method != entry.method
        even = _break_even(summaries[entry.record_id], where)
        table.add_row(entry.method, names[entry.record_id], *_cells(timing), even, end_section=last)
    return table


def curve_table(of: str, timings: Sequence[SpeedResult], images: str) -> Table:
    """One row a batch size: what ``dynvit speed`` prints of a point. ``images`` says which were timed."""
    table = _table(f"{of} · {images} · {conditions(timings[0])}", "", ("batch",), ("p50 ms", "p95", "p99", "MB"))
    for timing in timings:
        rest = (timing.latency_p50_ms, timing.latency_p95_ms, timing.latency_p99_ms, timing.peak_memory_mb)
        table.add_row(str(timing.batch_size), *_cells(timing), *("–" if x is None else f"{x:.4g}" for x in rest))
    return table


def faster_from(timings: Sequence[SpeedResult]) -> str:
    """The break-even batch size, in a line."""
    first = break_even(timings)
    if _untold(timings):
        return f"fewer than {LEAST_ROUNDS} valid rounds at the largest batch size: no break-even is told"
    if first is None:
        return "at the largest batch size not faster than dense in every valid round: no break-even"
    return f"faster than dense from batch size {first}"


def _table(title: str, caption: str, names: Iterable[str], more: Iterable[str]) -> Table:
    made = plain_table(title, caption)
    for name in names:
        made.add_column(name, no_wrap=name not in ("method", "point"))
    for heading in ("img/s", "× dense", "of theory", "rounds", *more):
        made.add_column(heading, justify="right", no_wrap=True)
    return made


def _cells(timing: SpeedResult) -> tuple[str, ...]:
    if timing.speedup is None or timing.speedup_theoretical is None or timing.speedup_share is None:
        return (f"{timing.images_per_s:.4g}", "–", "–", "–")
    spread = "" if timing.speedup_low is None else f" [{timing.speedup_low:.2f}, {timing.speedup_high:.2f}]"
    return (
        f"{timing.images_per_s:.4g}",
        f"{timing.speedup:.2f}{spread}",
        f"{100 * timing.speedup_share:.0f} % of {timing.speedup_theoretical:.2f}",
        f"{timing.rounds_valid}/{timing.rounds_run}",
    )


def _break_even(summary: SpeedSummary, where: Conditions) -> str:
    curve = curve_at(summary, where)
    if curve is None or _untold(curve.sizes):
        return "–"
    return "never" if curve.break_even_batch is None else str(curve.break_even_batch)


def _untold(timings: Sequence[SpeedResult]) -> bool:
    return not enough_rounds(max(timings, key=lambda timing: timing.batch_size))
