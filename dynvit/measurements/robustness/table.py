"""What attacks left, on the terminal: a row an entry that was attacked, a column a radius."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.table import Table

from dynvit.leaderboard.board import Entry, Leaderboard, RobustFront
from dynvit.leaderboard.naming import point_names
from dynvit.leaderboard.record import Record
from dynvit.leaderboard.table import digits, plain_table
from dynvit.measurements.robustness.summary import SlowdownEntry, attacks_on, robust_entries, said


def robust_table(board: Leaderboard) -> Table | None:
    """Accuracy within each ball, and the saving that a slowdown takes back; None where nothing was attacked."""
    if not board.robust_fronts:
        return None
    attacked = [entry for entry in board.entries if entry.robust]
    n = max(robust.n for entry in attacked for robust in entry.robust)
    norms = {radius(front.norm, front.eps).split()[0] for front in board.robust_fronts}
    common = f"{norms.pop()} " if len(norms) == 1 else ""
    shown = plain_table(
        title=f"under attack{' · ' + common.strip() if common else ''} · {n:,} images",
        caption=(
            "accuracy %: right under every attack within the radius, worst image by image · ● on the front of "
            "accuracy, GMACs and this column · saving taken back %: by the worst slowdown within the largest radius, "
            "and with the answer kept · ! signs of masked gradients, below"
        ),
    )
    shown.add_column("", no_wrap=True)
    shown.add_column("method", no_wrap=True)
    shown.add_column("point", min_width=12, overflow="fold")
    balls = [radius(front.norm, front.eps) for front in board.robust_fronts]
    for heading in ("GMACs", "clean", *(ball.removeprefix(common) for ball in balls)):
        shown.add_column(heading, justify="right", no_wrap=True)
    shown.add_column("taken back", justify="right", min_width=7)
    decimals, names = digits(board.setting.dense_gmacs) - 1, point_names(board)
    for i, entry in enumerate(attacked):
        last = i + 1 == len(attacked) or attacked[i + 1].method != entry.method
        shown.add_row(*_cells(entry, names[entry.record_id], board.robust_fronts, decimals), end_section=last)
    return shown


def attack_table(record: Record) -> Table:
    """Every attack on one record, a row each, and the worst of them together; eighty columns hold it."""
    knobs = " ".join(f"{name}={value}" for name, value in sorted(record.point.knobs.items()))
    ordered = sorted(attacks_on(record), key=lambda a: (a.norm or "", a.eps or 0.0, a.goal or ""))
    decimals = digits(record.compute.dense_gmacs)
    first = ordered[0]
    clean = "" if first.clean_accuracy_pct is None else f" · clean {first.clean_accuracy_pct:.1f} %"
    cost = "" if first.clean_gmacs_mean is None else f", {first.clean_gmacs_mean:.{decimals}f} GMACs"
    shown = plain_table(
        title=f"{record.method.name} {knobs} · {first.n:,} images{clean}{cost}",
        caption=(
            "attacks go through the gates; soft: branches weighed · frozen: decisions of the clean image · all: an "
            "image counts if every attack within the radius leaves it right · back %: of the saving"
        ),
    )
    for heading in ("radius", "attack"):
        shown.add_column(heading, no_wrap=True)
    for heading in ("accuracy %", "GMACs", "back %"):
        shown.add_column(heading, justify="right", no_wrap=True)
    worst = {(robust.norm, robust.eps): robust for robust in robust_entries(record)}
    for i, a in enumerate(ordered):
        last = i + 1 == len(ordered) or (ordered[i + 1].norm, ordered[i + 1].eps) != (a.norm, a.eps)
        goal = "" if a.goal in (None, "misclassify") else f" {a.goal}"
        shown.add_row(
            radius(a.norm or "", a.eps or 0.0),
            said(a) + goal,
            _interval(a.accuracy_pct, a.accuracy_ci95_low_pct or 0.0, a.accuracy_ci95_high_pct or 100.0),
            f"{a.gmacs_mean_under_attack:.{decimals}f}",
            "–" if a.saving_taken_back_pct is None else f"{a.saving_taken_back_pct:.1f}",
        )
        if last and (robust := worst.get((a.norm or "", a.eps or 0.0))) is not None:
            left = _interval(robust.accuracy_pct, robust.ci95_low_pct, robust.ci95_high_pct)
            shown.add_row(radius(robust.norm, robust.eps), "all", left, "", "", style="bold")
        if last:
            shown.add_section()
    return shown


def findings(board: Leaderboard) -> Iterator[str]:
    """The signs of masked gradients, a line each, with whose they are."""
    names = point_names(board)
    for entry in board.entries:
        for text in entry.findings:
            yield f"! {entry.method} {names[entry.record_id]}: {text}"


def radius(norm: str, eps: float) -> str:
    """A radius as the field writes it.

    >>> radius("linf", 4 / 255), radius("l2", 0.5), radius("linf", 0.002)
    ('L∞ 4/255', 'L2 0.5', 'L∞ 0.002')
    """
    steps = 255 * eps
    near = round(steps * 4) / 4
    said = f"{near:g}/255" if norm == "linf" and abs(steps - near) < 1e-6 else f"{eps:.3g}"
    return f"{'L∞' if norm == 'linf' else 'L2'} {said}"


def saving_lost(slowdowns: Sequence[SlowdownEntry], keep_label: bool) -> str:
    """The worst slowdown's share of the saving, or a dash where nothing was saved or nothing tried."""
    tried = [slow for slow in slowdowns if slow.keep_label == keep_label and slow.saving_taken_back_pct is not None]
    return f"{max(slow.saving_taken_back_pct or 0.0 for slow in tried):.0f}" if tried else "–"


def _interval(value: float, low: float, high: float) -> str:
    return rf"{value:.1f} \[{low:.1f}, {high:.1f}]"


def _cells(entry: Entry, name: str, fronts: Sequence[RobustFront], decimals: int) -> tuple[str, ...]:
    left = {(robust.norm, robust.eps): robust for robust in entry.robust}
    columns = []
    for front in fronts:
        robust = left.get((front.norm, front.eps))
        mark = "●" if entry.record_id in front.front else " "
        columns.append("" if robust is None else f"{robust.accuracy_pct:.1f} {mark}")
    return (
        "!" if entry.findings else "",
        entry.method,
        name,
        f"{entry.gmacs_mean:.{decimals}f}",
        f"{entry.robust[0].clean_pct:.1f}",
        *columns,
        f"{saving_lost(entry.slowdown, False)}/{saving_lost(entry.slowdown, True)}",
    )
