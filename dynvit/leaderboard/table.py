"""A board on the terminal."""

from __future__ import annotations

from rich.table import Table

from dynvit.leaderboard.board import Entry, Leaderboard


def table(board: Leaderboard) -> Table:
    """One row an entry, a rule between methods; ● is on the front of all methods, ○ on its method's own."""
    setting = board.setting
    shown = Table(
        title=f"{setting.dataset} {setting.split} · {setting.backbone} · {setting.n:,} images",
        caption=(
            f"GMACs an image, mean, rule {setting.rule}, dense {setting.dense_gmacs:.3f} · "
            "top-1 with its 95 % interval · ● on the front ○ on its method's own"
        ),
        title_justify="left",
        caption_justify="left",
    )
    shown.add_column("method", no_wrap=True)
    shown.add_column("point", overflow="fold")
    for heading in ("GMACs", "saved %", "top-1 %", "top-5 %"):
        shown.add_column(heading, justify="right", no_wrap=True)
    shown.add_column("front", justify="center", no_wrap=True)
    for i, entry in enumerate(board.entries):
        last = i + 1 == len(board.entries) or board.entries[i + 1].method != entry.method
        shown.add_row(*_cells(entry), end_section=last, style=None if entry.on_method_front else "dim")
    return shown


def _cells(entry: Entry) -> tuple[str, ...]:
    low, high = entry.top1_ci95_low_pct, entry.top1_ci95_high_pct
    return (
        entry.method,
        compact(entry),
        f"{entry.gmacs_mean:.3f}",
        f"{entry.saving_pct:.1f}",
        f"{entry.top1_pct:.2f} [{low:.2f}, {high:.2f}]".replace("[", r"\["),
        "" if entry.top5_pct is None else f"{entry.top5_pct:.2f}",
        "●" if entry.on_front else "○" if entry.on_method_front else "",
    )


def compact(entry: Entry) -> str:
    """The knobs in one short line; numbers to four digits, which is enough to tell points apart."""
    parts = [
        f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in sorted(entry.knobs.items())
    ]
    return " ".join(parts) or ("static" if entry.baseline else "")
