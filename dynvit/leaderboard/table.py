"""A board on the terminal."""

from __future__ import annotations

import math

from rich.box import SIMPLE_HEAD
from rich.table import Table

from dynvit.leaderboard.board import Entry, Leaderboard


def table(board: Leaderboard) -> Table:
    """One row an entry, a rule between methods; fits eighty columns while the knobs are few."""
    setting = board.setting
    shown = Table(
        title=f"{setting.dataset} {setting.split} · {setting.backbone} · {setting.n:,} images",
        caption=(
            f"GMACs an image, mean, rule {setting.rule}, dense {setting.dense_gmacs:.4g} · "
            "top-1 with its 95 % interval · ● on the front of all methods, ○ on its own"
        ),
        title_justify="left",
        caption_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        show_edge=False,
    )
    shown.add_column("", no_wrap=True)
    shown.add_column("method", no_wrap=True)
    shown.add_column("point", min_width=12, overflow="fold")
    for heading in ("GMACs", "saved %", "top-1 %", "top-5 %"):
        shown.add_column(heading, justify="right", no_wrap=True)
    decimals = digits(setting.dense_gmacs)
    for i, entry in enumerate(board.entries):
        last = i + 1 == len(board.entries) or board.entries[i + 1].method != entry.method
        style = None if entry.on_method_front else "dim"
        shown.add_row(*_cells(entry, decimals), end_section=last, style=style)
    return shown


def digits(gmacs: float) -> int:
    """Decimals that show points of a backbone this large apart: three of a GMAC, more for a small one.

    >>> digits(17.56), digits(1.254), digits(0.0112)
    (3, 3, 5)
    """
    return max(3, 3 - math.floor(math.log10(gmacs)))


def _cells(entry: Entry, decimals: int) -> tuple[str, ...]:
    interval = rf"\[{entry.top1_ci95_low_pct:.1f}, {entry.top1_ci95_high_pct:.1f}]"
    return (
        "●" if entry.on_front else "○" if entry.on_method_front else "",
        entry.method,
        compact(entry),
        f"{entry.gmacs_mean:.{decimals}f}",
        f"{entry.saving_pct:.1f}",
        f"{entry.top1_pct:.2f} {interval}",
        "" if entry.top5_pct is None else f"{entry.top5_pct:.2f}",
    )


def compact(entry: Entry) -> str:
    """The knobs, for a narrow column; numbers to three digits, which is enough to tell points apart."""
    parts = [
        f"{name}={value:.3g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in sorted(entry.knobs.items())
    ]
    return " ".join(parts) or ("static" if entry.baseline else "")
