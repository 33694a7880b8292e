"""What attacks left, on the terminal: a row an entry that was attacked, a column a radius."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from dynvit.leaderboard.board import Entry, Leaderboard
from dynvit.leaderboard.naming import point_in_words, point_names
from dynvit.leaderboard.record import Record
from dynvit.leaderboard.table import digits, plain_table
from dynvit.measurements.robustness.comparing import attempts, images_said, what_differs
from dynvit.measurements.robustness.result import RobustnessResult, said
from dynvit.measurements.robustness.summary import (
    RobustFront,
    RobustnessSummary,
    SlowdownEntry,
    robust_entries,
)
from dynvit.terminal import Table


def robust_table(
    board: Leaderboard, summaries: Mapping[str, RobustnessSummary], fronts: Sequence[RobustFront]
) -> Table | None:
    """Accuracy within each ball, and the saving lost under attack; None where accuracy was not attacked."""
    attacked = [
        (entry, summaries[entry.record_id])
        for entry in board.entries
        if entry.record_id in summaries and summaries[entry.record_id].accuracy
    ]
    if not attacked or not fronts:
        return None
    images = images_said(summaries)
    n = "" if images else f" · {attacked[0][1].accuracy[0].n:,} images"
    norms = {radius(front.norm, front.eps).split()[0] for front in fronts}
    common = f"{norms.pop()} " if len(norms) == 1 else ""
    shown = plain_table(
        title=f"under attack{' · ' + common.strip() if common else ''}{n}",
        caption=(
            "robust accuracy %: right under every attempt within the radius, worst image by image · ● on the front of "
            "accuracy, GMACs and this column · attempts: within the largest radius · saving lost %: under the worst "
            "slowdown within it, and with the answer kept · ! signs of masked gradients, below"
        ),
    )
    shown.add_column("", no_wrap=True)
    shown.add_column("method")
    shown.add_column("point")
    if images:
        shown.add_column("images", justify="right", no_wrap=True)
    balls = [radius(front.norm, front.eps) for front in fronts]
    for heading in ("GMACs", "clean", *(ball.removeprefix(common) for ball in balls)):
        shown.add_column(heading, justify="right", no_wrap=True)
    for heading in ("attempts", "saving lost"):
        shown.add_column(heading, justify="right", min_width=6)
    decimals, names = digits(board.setting.dense_gmacs) - 1, point_names(board)
    for i, (entry, summary) in enumerate(attacked):
        last = i + 1 == len(attacked) or attacked[i + 1][0].method != entry.method
        named = (names[entry.record_id], *([images[entry.record_id]] if images else []))
        shown.add_row(*_cells(entry, summary, named, fronts, decimals), end_section=last)
    return shown


def notes(board: Leaderboard, summaries: Mapping[str, RobustnessSummary]) -> Iterator[str]:
    """Lines below the table: what keeps rows from being compared, and signs of masked gradients, with whose."""
    names = point_names(board)
    yield from what_differs(list(summaries.values()))
    for entry in board.entries:
        if entry.record_id in summaries:
            for text in summaries[entry.record_id].masking_signs:
                yield f"! {entry.method} {names[entry.record_id]}: {text}"


def attack_table(record: Record, results: Sequence[RobustnessResult]) -> Table:
    """Every attack on one record, a row each, and the worst of them together; eighty columns hold it."""
    point = point_in_words(record.method.name, record.point.knobs, record.method.options)
    ordered = sorted(results, key=lambda a: (a.norm, a.eps, a.criterion or ""))
    decimals = digits(record.compute.dense_gmacs)
    first = ordered[0]
    clean = "" if first.clean_accuracy_pct is None else f" · clean {first.clean_accuracy_pct:.1f} %"
    cost = "" if first.clean_gmacs_mean is None else f", {first.clean_gmacs_mean:.{decimals}f} GMACs"
    shown = plain_table(
        title=f"{record.method.name} {point} · {first.n:,} images{clean}{cost}",
        caption=(
            "attacks go through the gates; soft: branches weighed · frozen: decisions of the clean image · all: an "
            "image counts if every attack within the radius leaves it right · lost %: of the saving"
        ),
    )
    for heading in ("radius", "attack"):
        shown.add_column(heading, no_wrap=True)
    for heading in ("accuracy %", "GMACs", "lost %"):
        shown.add_column(heading, justify="right", no_wrap=True)
    worst = {(robust.norm, robust.eps): robust for robust in robust_entries(results, record.preprocessing.image_size)}
    for i, a in enumerate(ordered):
        last = i + 1 == len(ordered) or (ordered[i + 1].norm, ordered[i + 1].eps) != (a.norm, a.eps)
        criterion = "" if a.criterion in (None, "misclassify") else f" {a.criterion}"
        shown.add_row(
            radius(a.norm, a.eps),
            said(a) + criterion,
            _interval(a.accuracy_pct, a.accuracy_ci95_low_pct or 0.0, a.accuracy_ci95_high_pct or 100.0),
            f"{a.gmacs_mean:.{decimals}f}",
            "–" if a.saving_lost_pct is None else f"{a.saving_lost_pct:.1f}",
        )
        if last and (robust := worst.get((a.norm, a.eps))) is not None:
            left = _interval(robust.accuracy_pct, robust.ci95_low_pct, robust.ci95_high_pct)
            shown.add_row(radius(robust.norm, robust.eps), "all", left, "", "", style="bold")
        if last:
            shown.add_section()
    return shown


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
    """The saving lost under the worst slowdown, or a dash where nothing was saved or nothing tried."""
    tried = [slow for slow in slowdowns if slow.keep_label == keep_label and slow.saving_lost_pct is not None]
    return f"{max(slow.saving_lost_pct or 0.0 for slow in tried):.0f}" if tried else "–"


def _interval(value: float, low: float, high: float) -> str:
    return f"{value:.1f} [{low:.1f}, {high:.1f}]"


def _cells(
    entry: Entry, summary: RobustnessSummary, named: Sequence[str], fronts: Sequence[RobustFront], decimals: int
) -> tuple[str, ...]:
    left = {(robust.norm, robust.eps): robust for robust in summary.accuracy}
    columns = []
    for front in fronts:
        robust = left.get((front.norm, front.eps))
        mark = "●" if entry.record_id in front.front else " "
        columns.append("" if robust is None else f"{robust.accuracy_pct:.1f} {mark}")
    return (
        "!" if summary.masking_signs else "",
        entry.method,
        *named,
        f"{entry.gmacs_mean:.{decimals}f}",
        f"{summary.accuracy[0].clean_pct:.1f}",
        *columns,
        "/".join(str(count) for count in attempts(summary).values()),
        f"{saving_lost(summary.slowdown, False)}/{saving_lost(summary.slowdown, True)}",
    )
