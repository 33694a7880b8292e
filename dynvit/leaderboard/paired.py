"""Per-sample results of two models on the same images: is one better, and by how much?

Two accuracies with an interval each say less than the images know: where both models fail on the same ones, their
difference is known far better than either.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pydantic import Field

from dynvit.errors import InputError
from dynvit.leaderboard.interval import Interval
from dynvit.leaderboard.record import Count, Frozen

if TYPE_CHECKING:
    from dynvit.leaderboard.per_sample import Bools

# The 97.5 % quantile of the standard normal distribution.
Z95 = 1.959963984540054


class Paired(Frozen):
    """How the per-sample results of a second model stand to those of a first."""

    n: int = Field(ge=1, description="images that both answered")
    gained: Count = Field(description="images that only the second answers right")
    lost: Count = Field(description="images that only the first answers right")
    difference_points: float = Field(ge=-100, le=100, description="accuracy, second minus first, points of percent")
    ci95_low_points: float = Field(description="lower end of its 95 % interval, points of percent")
    ci95_high_points: float = Field(description="upper end of its 95 % interval, points of percent")
    p_value: float = Field(ge=0, le=1, description="of the exact McNemar test that neither is better")


def paired(first: Bools, second: Bools) -> Paired:
    """Compare per-sample results image by image.

    Shape: both (n,). Raises: ``InputError`` where they are not of equally many images.
    """
    if first.shape != second.shape or not len(first):
        raise InputError(
            f"per-sample results of {len(first)} and {len(second)} images cannot be paired: measure the same images"
        )
    n = len(first)
    gained, lost = int((second & ~first).sum()), int((first & ~second).sum())
    interval = difference_interval(gained, lost, n)
    return Paired(
        n=n,
        gained=gained,
        lost=lost,
        difference_points=100 * (gained - lost) / n,
        ci95_low_points=interval.low_pct,
        ci95_high_points=interval.high_pct,
        p_value=mcnemar(gained, lost),
    )


def mcnemar(gained: int, lost: int) -> float:
    """The p value that so uneven a split of the images where two models differ is chance; exact, two-sided.

    Source: McNemar, "Note on the sampling error of the difference between correlated proportions or percentages",
    1947, with the binomial instead of its approximation.

    >>> round(mcnemar(1, 9), 6)  # 2 (1 + 10) / 2^10
    0.021484
    >>> mcnemar(0, 0)
    1.0
    """
    from scipy.stats import binomtest

    return float(binomtest(gained, gained + lost, 0.5).pvalue) if gained + lost else 1.0


def one_sided(more: int, fewer: int) -> float:
    """The p value that of the images where two results differ as many as ``more`` fall on one side by chance; exact.

    >>> round(one_sided(9, 1), 6)  # (10 + 1) / 2^10
    0.010742
    >>> one_sided(0, 0)
    1.0
    """
    return exceeds(more, more + fewer, 0.5)


def exceeds(count: int, n: int, share: float) -> float:
    """The p value that ``count`` or more of ``n`` are found by chance where a share is expected; exact, binomial.

    >>> exceeds(0, 100, 0.01), round(exceeds(1, 1, 0.01), 6)
    (1.0, 0.01)
    """
    from scipy.stats import binomtest

    return float(binomtest(count, n, share, alternative="greater").pvalue) if n else 1.0


def difference_interval(gained: int, lost: int, n: int) -> Interval:
    """The 95 % interval of a difference of paired shares, in points; right also where nearly all results agree.

    Source: Bonett & Price, "Adjusted Wald confidence interval for a difference of binomial proportions based on paired
    data", 2012, eq. (4): one image more on each side, then Wald.

    >>> low, high = difference_interval(30, 10, 1000)
    >>> round(low, 2), round(high, 2)
    (0.73, 3.26)
    """
    up, down = (gained + 1) / (n + 2), (lost + 1) / (n + 2)
    half = Z95 * math.sqrt((up + down - (up - down) ** 2) / (n + 2))
    return Interval(100 * max(-1.0, up - down - half), 100 * min(1.0, up - down + half))
