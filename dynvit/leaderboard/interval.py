"""The 95 % interval of an accuracy."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple


class Interval(NamedTuple):
    """The ends of an interval, in percent."""

    low_pct: float
    high_pct: float


@lru_cache(maxsize=4096)
def wilson(n_correct: int, n: int) -> Interval:
    """Wilson's 95 % score interval of a share, in percent; right for few images and near 0 and 100 %.

    Source: Wilson, "Probable inference, the law of succession, and statistical inference", 1927, eq. (4).
    Raises: ``ValueError`` where ``n`` is not positive or ``n_correct`` is outside ``[0, n]``.

    >>> low, high = wilson(40_000, 50_000)
    >>> round(low, 2), round(high, 2)
    (79.65, 80.35)
    >>> wilson(0, 10).low_pct
    0.0
    """
    if n < 1 or not 0 <= n_correct <= n:
        raise ValueError(f"{n_correct} right of {n} images is no share")
    from scipy.stats import binomtest  # takes half a second, which who reads a board need not wait

    found = binomtest(n_correct, n).proportion_ci(method="wilson")
    share = 100 * n_correct / n
    # In exact arithmetic the share lies inside; a rounding must not put it outside.
    return Interval(min(100 * float(found.low), share), max(100 * float(found.high), share))
