"""A board on the terminal."""

from __future__ import annotations

import math

from rich.box import SIMPLE_HEAD
from rich.table import Table

from dynvit.leaderboard.board import Entry, Leaderboard
from dynvit.leaderboard.naming import point_names


def table(board: Leaderboard) -> Table:
    """One row an entry, a rule between methods; fits eighty columns while the knobs are few."""
    setting = board.setting
    shown = plain_table(
        title=f"{setting.dataset} {setting.split} · {setting.backbone} · {setting.n:,} images",
        caption=(
            f"GMACs an image, mean, rule {setting.rule}, dense {setting.dense_gmacs:.4g} · "
            "top-1 with its 95 % interval · ● on the front of all methods, ○ on its own"
        ),
    )
    shown.add_column("", no_wrap=True)
    shown.add_column("method", no_wrap=True)
    shown.add_column("point", min_width=12, overflow="fold")
    for heading in ("GMACs", "saved %", "top-1 %", "top-5 %"):
        shown.add_column(heading, justify="right", no_wrap=True)
    decimals, names = digits(setting.dense_gmacs), point_names(board)
    for i, entry in enumerate(board.entries):
        last = i + 1 == len(board.entries) or board.entries[i + 1].method != entry.method
        style = None if entry.on_method_front else "dim"
        shown.add_row(*_cells(entry, names[entry.record_id], decimals), end_section=last, style=style)
    return shown


def plain_table(title: str, caption: str = "") -> Table:
    """A table as all of ours look: no frame, title and notes at the left."""
    return Table(
        title=title,
        caption=caption or None,
        title_justify="left",
        caption_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        show_edge=False,
    )


def digits(gmacs: float) -> int:
    """Decimals that show points of a backbone this large apart: three of a GMAC, more for a small one.

    >>> digits(17.56), digits(1.254), digits(0.0112)
    (3, 3, 5)
    """
    return max(3, 3 - math.floor(math.log10(gmacs)))


def _cells(entry: Entry, name: str, decimals: int) -> tuple[str, ...]:
    interval = rf"\[{entry.top1_ci95_low_pct:.1f}, {entry.top1_ci95_high_pct:.1f}]"
    return (
        "●" if entry.on_front else "○" if entry.on_method_front else "",
        entry.method,
        name,
        f"{entry.gmacs_mean:.{decimals}f}",
        f"{entry.saving_pct:.1f}",
        f"{entry.top1_pct:.2f} {interval}",
        "" if entry.top5_pct is None else f"{entry.top5_pct:.2f}",
    )
