"""Two sets of answers to the same images: is one better, and by how much?

Two accuracies with an interval each say less than the images know: where both models fail on the same ones, their
difference is known far better than either.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from dynvit.errors import InputError
from dynvit.leaderboard.answers import Bools
from dynvit.leaderboard.interval import Z95, Interval


@dataclass(frozen=True)
class Paired:
    """How a second model stands to a first on the same images.

    ``gained`` are the images that only the second gets right, ``lost`` those that only the first does. Units:
    ``difference_pct`` in points of accuracy, second minus first, with its 95 % interval; ``p_value`` of the exact
    McNemar test that neither is better.
    """

    n: int
    gained: int
    lost: int
    difference_pct: float
    interval: Interval
    p_value: float


def paired(first: Bools, second: Bools) -> Paired:
    """Compare answers image by image.

    Shape: both (n,). Raises: ``InputError`` where they are not of equally many images.
    """
    if first.shape != second.shape or not len(first):
        raise InputError(f"answers to {len(first)} and {len(second)} images cannot be paired: measure the same images")
    n = len(first)
    gained, lost = int((second & ~first).sum()), int((first & ~second).sum())
    return Paired(
        n, gained, lost, 100 * (gained - lost) / n, difference_interval(gained, lost, n), mcnemar(gained, lost)
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


def difference_interval(gained: int, lost: int, n: int, z: float = Z95) -> Interval:
    """The interval of a difference of paired shares, in points; right also where nearly all answers agree.

    Source: Bonett & Price, "Adjusted Wald confidence interval for a difference of binomial proportions based on paired
    data", 2012, eq. (4): one image more on each side, then Wald.

    >>> low, high = difference_interval(30, 10, 1000)
    >>> round(low, 2), round(high, 2)
    (0.73, 3.26)
    """
    up, down = (gained + 1) / (n + 2), (lost + 1) / (n + 2)
    half = z * math.sqrt((up + down - (up - down) ** 2) / (n + 2))
    return Interval(100 * max(-1.0, up - down - half), 100 * min(1.0, up - down + half))
