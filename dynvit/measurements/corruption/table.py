"""Corruptions of a board on the terminal, and as rows of a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dynvit.leaderboard.board import Leaderboard
from dynvit.leaderboard.naming import point_names
from dynvit.leaderboard.table import digits, plain_table
from dynvit.measurements.corruption.summary import CorruptionSummary
from dynvit.terminal import Table


def corruption_table(board: Leaderboard, summaries: Mapping[str, CorruptionSummary]) -> Table | None:
    """One row an entry that was measured under corruptions; ``None`` where none was."""
    measured = [(e, summaries[e.record_id]) for e in board.entries if e.record_id in summaries]
    if not measured:
        return None
    first = measured[0][1]
    count = len(first.corruptions)
    published = all(corruption.mce_published for _, corruption in measured)
    caption = f"{count} corruptions, {first.source}, mean over severities · clean: the same {first.n:,} images"
    if first.mce_pct is not None and not published:
        caption += f" · mCE over {len(first.mce_over)} corruptions made here: not to stand beside published ones"
    shown = plain_table("under corruptions", caption)
    shown.add_column("method")
    shown.add_column("point")
    mce = any(corruption.mce_pct is not None for _, corruption in measured)
    for heading in ("clean %", "corrupted %", *(["mCE %"] if mce else []), "GMACs", "drift %"):
        shown.add_column(heading, justify="right", no_wrap=True)
    decimals, names = digits(board.setting.dense_gmacs), point_names(board)
    for entry, corruption in measured:
        interval = f"[{corruption.accuracy_ci95_low_pct:.1f}, {corruption.accuracy_ci95_high_pct:.1f}]"
        shown.add_row(
            entry.method,
            names[entry.record_id],
            _number(corruption.clean_accuracy_pct, ".2f"),
            f"{corruption.accuracy_pct:.2f} {interval}",
            *([_number(corruption.mce_pct, ".1f")] if mce else []),
            f"{corruption.gmacs_mean:.{decimals}f}",
            _number(corruption.gmacs_drift_pct, "+.1f"),
        )
    return shown


def rows(board: Leaderboard, summaries: Mapping[str, CorruptionSummary]) -> list[dict[str, Any]]:
    """A line for each entry and corruption."""
    return [
        {"method": entry.method, "record_id": entry.record_id, "source": summary.source, "n": summary.n}
        | row.model_dump(mode="json", exclude={"severities"})
        | {"severities": " ".join(map(str, row.severities))}
        for entry in board.entries
        if (summary := summaries.get(entry.record_id)) is not None
        for row in summary.corruptions
    ]


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(round(value, 6) + 0.0, form)  # no minus zero
