"""A board on the terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping

from dynvit.leaderboard.board import Entry, Leaderboard
from dynvit.leaderboard.bootstrap import MethodBootstrap
from dynvit.leaderboard.naming import point_in_words, point_names, short_ids
from dynvit.terminal import Table


def table(board: Leaderboard, further: Mapping[str, Mapping[str, str]] | None = None) -> Table:
    """One row an entry, a rule between methods; fits eighty columns while the knobs are few.

    ``further`` columns are by heading, then by record id.
    """
    setting = board.setting
    shown = plain_table(
        title=f"{setting.dataset} {setting.split} · {setting.backbone} · {setting.n:,} images",
        caption=(
            f"GMACs an image, mean, rule {setting.rule}, dense {setting.dense_gmacs:.4g} · "
            "saved: percent of dense · top-1 with its 95 % interval · ● on the front of all methods, ○ on its own · "
            "id: for dynvit compare FOLDER:ID"
        ),
    )
    shown.add_column("id", no_wrap=True)
    shown.add_column("method")
    shown.add_column("point")
    further = further or {}
    for heading in ("GMACs", "saved", "top-1 %", "top-5", *further):
        shown.add_column(heading, justify="right", no_wrap=True)
    decimals, names = digits(setting.dense_gmacs), point_names(board)
    ids = short_ids(entry.record_id for entry in board.entries)
    for i, entry in enumerate(board.entries):
        last = i + 1 == len(board.entries) or board.entries[i + 1].method != entry.method
        style = None if entry.on_method_front else "dim"
        more = (cells.get(entry.record_id, "") for cells in further.values())
        own = _cells(entry, ids[entry.record_id], names[entry.record_id], decimals)
        shown.add_row(*own, *more, end_section=last, style=style)
    return shown


def seeds_table(board: Leaderboard) -> Table | None:
    """One row a set of trainings that differ in their seed; ``None`` where there is none."""
    if not board.seeds:
        return None
    shown = plain_table("over training seeds", "mean ± standard deviation over the seeds (n - 1)")
    shown.add_column("method")
    shown.add_column("point")
    for heading in ("seeds", "GMACs", "top-1 %"):
        shown.add_column(heading, justify="right", no_wrap=True)
    decimals = digits(board.setting.dense_gmacs)
    for spread in board.seeds:
        target = "" if spread.target_gmacs is None else f"budget {spread.target_gmacs:.{decimals}f}"
        point = point_in_words(spread.method, spread.knobs or {}, spread.options)
        shown.add_row(
            spread.method,
            target or point,
            ", ".join(map(str, spread.seeds)),
            f"{spread.gmacs_mean:.{decimals}f} ± {spread.gmacs_sd:.{decimals}f}",
            f"{spread.top1_mean_pct:.2f} ± {spread.top1_sd_pct:.2f}",
        )
    return shown


def offers_table(board: Leaderboard) -> Table | None:
    """One row a method, the best first, with the places that chance leaves it; ``None`` where that is not known."""
    ranked = ranked_by_offer(board)
    if not ranked:
        return None
    first, decimals = ranked[0][1], digits(board.setting.dense_gmacs)
    shown = plain_table(
        "what the fronts offer",
        "top-1 of the best point that costs no more, on average over costs from "
        f"{first.from_gmacs:.{decimals}f} GMACs, which every method can meet, to dense, and over seeds · 95 % interval "
        f"by {first.resamples:,} resamples of the images, the same for all · ± standard deviation over seeds · place: "
        "methods that images and seeds do not tell apart share places, each pair by itself",
    )
    shown.add_column("place", justify="right", no_wrap=True)
    shown.add_column("method")
    for heading in ("mean top-1 %", "95 %", "± seeds"):
        shown.add_column(heading, justify="right", no_wrap=True)
    for name, found in ranked:
        best, worst = found.rank_best, found.rank_worst
        shown.add_row(
            str(best) if best == worst else f"{best}–{worst}",
            name,
            f"{found.mean_pct:.2f}",
            f"[{found.low_pct:.2f}, {found.high_pct:.2f}]",
            "" if found.seed_sd_pct is None else f"{found.seed_sd_pct:.2f} ({len(found.seeds)})",
        )
    return shown


def ranked_by_offer(board: Leaderboard) -> list[tuple[str, MethodBootstrap]]:
    """The methods of which it is known what images and seeds leave open, the best first."""
    known = [(method.name, method.bootstrap) for method in board.methods if method.bootstrap is not None]
    return sorted(known, key=lambda row: (row[1].rank_best, row[1].rank_worst, -row[1].mean_pct))


def papers_table(board: Leaderboard) -> Table | None:
    """One row a row of a paper; ``None`` where there is none."""
    if not board.paper:
        return None
    shown = plain_table("what papers print", "not measured here, and on no front · GFLOPs as GMACs")
    for heading in ("method", "row", "source"):
        shown.add_column(heading)
    for heading in ("GMACs", "top-1 %"):
        shown.add_column(heading, justify="right", no_wrap=True)
    for row in board.paper:
        source = f"{row.source}{'' if row.page is None else f', p. {row.page}'}"
        read = "≈" if row.as_read else ""
        shown.add_row(row.method, row.label, source, f"{read}{row.gmacs_mean:g}", f"{read}{row.top1_pct:g}")
    return shown


def plain_table(title: str, caption: str = "") -> Table:
    """A table as all of ours look."""
    return Table(title, caption)


def digits(gmacs: float) -> int:
    """Decimals that show points of a backbone this large apart: three of a GMAC, more for a small one.

    >>> digits(17.56), digits(1.254), digits(0.0112)
    (3, 3, 5)
    """
    return max(3, 3 - math.floor(math.log10(gmacs)))


def _cells(entry: Entry, short: str, name: str, decimals: int) -> tuple[str, ...]:
    interval = f"[{entry.top1_ci95_low_pct:.1f}, {entry.top1_ci95_high_pct:.1f}]"
    return (
        f"{short} {'●' if entry.on_front else '○' if entry.on_method_front else ''}",
        entry.method,
        name,
        f"{entry.gmacs_mean:.{decimals}f}",
        f"{entry.saving_pct:.1f}",
        f"{entry.top1_pct:.2f} {interval}",
        "" if entry.top5_pct is None else f"{entry.top5_pct:.2f}",
    )
