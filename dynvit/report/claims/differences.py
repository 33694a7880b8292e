"""How much better one entry is than another, and how sure that is."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from dynvit.leaderboard.baseline import Baselines, is_against
from dynvit.leaderboard.board import Entry, Leaderboard
from dynvit.leaderboard.bootstrap import welch_half_width
from dynvit.leaderboard.interval import wilson
from dynvit.leaderboard.paired import Paired, paired
from dynvit.measurements.robustness.summary import RobustEntry
from dynvit.report.claims.evidence import Evidence

if TYPE_CHECKING:
    from dynvit.leaderboard.per_sample import Bools


@dataclass(frozen=True)
class Difference:
    """First less second with its 95 % interval, points. ``p``: that neither is better; ``how`` it was found."""

    points: float
    low: float
    high: float
    p: float | None
    how: str

    def __str__(self) -> str:
        p = "" if self.p is None else f", p = {self.p:.2g}"
        return f"{self.points:+.2f} points [{self.low:+.2f}, {self.high:+.2f}]{p} ({self.how})"


def of_entries(first: Entry, second: Entry, board: Leaderboard, evidence: Evidence, name: str) -> Difference:
    """Top-1 of the first less that of the second: image by image where that is known, over seeds where there are some.

    Args:
        first, second: entries.
        board: of both.
        evidence: for per-sample results beside the board.
        name: the board's.

    Returns: the difference.
    """
    pair = _paired(first, second, board, evidence, name)
    if pair is None:
        n = board.setting.n
        found = of_shares(round(first.top1_pct * n / 100), n, round(second.top1_pct * n / 100), n)
    else:
        found = of_pair(pair)
    return _over_seeds(found, first, second, board)


def of_pair(pair: Paired) -> Difference:
    """A difference that was found image by image."""
    ends = pair.ci95_low_points, pair.ci95_high_points
    return Difference(pair.difference_points, *ends, pair.p_value, f"paired, {pair.n:,} images")


def of_balls(first: RobustEntry, second: RobustEntry, kept: Sequence[tuple[str | None, Bools] | None]) -> Difference:
    """Accuracy within a ball of the first less that of the second.

    Args:
        first, second: what the board says.
        kept: which images are left of each, with a hash of the images; None where that was not kept.

    Returns: image by image where both are of the same images and give the board's numbers.
    """
    right = [round(ball.accuracy_pct * ball.n / 100) for ball in (first, second)]
    one, other = kept
    if (
        one is not None
        and other is not None
        and one[0] == other[0]
        and [int(b.sum()) for _, b in (one, other)] == right
    ):
        return of_pair(paired(other[1], one[1]))
    return of_shares(right[0], first.n, right[1], second.n)


def of_shares(first: int, n_first: int, second: int, n_second: int) -> Difference:
    """Two shares of images that are not known to be the same ones: wider than a paired interval would be.

    Source: Newcombe, "Interval estimation for the difference between independent proportions", 1998, method 10; p of
    Fisher's exact test.

    >>> print(of_shares(56, 70, 48, 80))
    +20.00 points [+5.24, +33.39], p = 0.013 (unpaired, 70 images)
    """
    from scipy.stats import fisher_exact

    one, other = 100 * first / n_first, 100 * second / n_second
    low_one, high_one = wilson(first, n_first)
    low_other, high_other = wilson(second, n_second)
    points = one - other
    p = float(fisher_exact([[first, n_first - first], [second, n_second - second]]).pvalue)
    return Difference(
        points,
        points - math.hypot(one - low_one, high_other - other),
        points + math.hypot(high_one - one, other - low_other),
        p,
        f"unpaired, {min(n_first, n_second):,} images",
    )


def _paired(first: Entry, second: Entry, board: Leaderboard, evidence: Evidence, name: str) -> Paired | None:
    """Image by image: by per-sample results beside the board, else where the board has paired these very two."""
    kept = evidence.per_sample(name)
    one, other = kept.get(first.record_id), kept.get(second.record_id)
    if one is not None and other is not None and one.images == other.images:
        return paired(other.bits(), one.bits())
    pair = first.against_dense
    if pair is None or Baselines.among_entries(board.entries).of(first.seed) != second.record_id:
        return None
    return pair if is_against(pair, first, second) else None  # an older board's may be of another dense model


def _over_seeds(found: Difference, first: Entry, second: Entry, board: Leaderboard) -> Difference:
    """The difference of means over seeds; half widths over images and over seeds add as squares."""
    one, other = (_of_all_seeds(entry, board) for entry in (first, second))
    most = max(len(one), len(other))
    if most < 2:
        return found
    points = statistics.fmean(one) - statistics.fmean(other)
    seeds = welch_half_width(one, other)
    low = points - math.hypot(found.points - found.low, seeds)
    high = points + math.hypot(found.high - found.points, seeds)
    return replace(found, points=points, low=low, high=high, how=f"{found.how}, p of the first of {most} seeds")


def _of_all_seeds(entry: Entry, board: Leaderboard) -> list[float]:
    by_id = {each.record_id: each for each in board.entries}
    ids = next((spread.record_ids for spread in board.seeds if entry.record_id in spread.record_ids), ())
    return [by_id[name].top1_pct for name in ids if name in by_id] or [entry.top1_pct]
