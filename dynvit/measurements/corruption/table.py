"""Corruptions and seeds of a board on the terminal, each where there are any."""

from __future__ import annotations

from rich.table import Table

from dynvit.leaderboard.board import Leaderboard
from dynvit.leaderboard.naming import point_names
from dynvit.leaderboard.table import digits, plain_table


def corruption_table(board: Leaderboard) -> Table | None:
    """One row an entry that was measured under corruptions; ``None`` where none was."""
    measured = [(entry, entry.corruption) for entry in board.entries if entry.corruption is not None]
    if not measured:
        return None
    first = measured[0][1]
    count = len(first.corruptions)
    published = all(corruption.mce_published for _, corruption in measured)
    caption = f"{count} corruptions, {first.source}, mean over severities · clean: the same {first.n:,} images"
    if first.mce_pct is not None and not published:
        caption += f" · mCE over {len(first.mce_over)} corruptions made here: not to stand beside published ones"
    shown = _table("under corruptions", caption)
    for heading in ("clean %", "corrupted %", "mCE %", "GMACs", "drift %"):
        shown.add_column(heading, justify="right", no_wrap=True)
    decimals, names = digits(board.setting.dense_gmacs), point_names(board)
    for entry, corruption in measured:
        interval = rf"\[{corruption.accuracy_ci95_low_pct:.1f}, {corruption.accuracy_ci95_high_pct:.1f}]"
        shown.add_row(
            entry.method,
            names[entry.record_id],
            _number(corruption.clean_accuracy_pct, ".2f"),
            f"{corruption.accuracy_pct:.2f} {interval}",
            _number(corruption.mce_pct, ".1f"),
            f"{corruption.gmacs_mean:.{decimals}f}",
            _number(corruption.gmacs_drift_pct, "+.1f"),
        )
    return shown


def seeds_table(board: Leaderboard) -> Table | None:
    """One row a set of trainings that differ in their seed; ``None`` where there is none."""
    if not board.seeds:
        return None
    shown = _table("over training seeds", "mean ± standard deviation over the seeds (n - 1)")
    for heading in ("seeds", "GMACs", "top-1 %"):
        shown.add_column(heading, justify="right", no_wrap=True)
    decimals = digits(board.setting.dense_gmacs)
    for spread in board.seeds:
        target = "" if spread.target_gmacs is None else f"budget {spread.target_gmacs:.{decimals}f}"
        knobs = " ".join(f"{name}={value}" for name, value in sorted((spread.knobs or {}).items()))
        shown.add_row(
            spread.method,
            target or knobs,
            ", ".join(map(str, spread.seeds)),
            f"{spread.gmacs_mean:.{decimals}f} ± {spread.gmacs_sd:.{decimals}f}",
            f"{spread.top1_mean_pct:.2f} ± {spread.top1_sd_pct:.2f}",
        )
    return shown


def _table(title: str, caption: str) -> Table:
    shown = plain_table(title, caption)
    shown.add_column("method", no_wrap=True)
    shown.add_column("point", min_width=12, overflow="fold")
    return shown


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(round(value, 6) + 0.0, form)  # no minus zero
