"""The 95 % interval of an accuracy."""

from __future__ import annotations

import math
from typing import NamedTuple

# The 97.5 % quantile of the standard normal distribution.
Z95 = 1.959963984540054


class Interval(NamedTuple):
    """The ends of an interval, in percent."""

    low_pct: float
    high_pct: float


def wilson(n_correct: int, n: int, z: float = Z95) -> Interval:
    """Wilson's score interval of a share, in percent; right for few images and near 0 and 100 %.

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
    share = n_correct / n
    centre = share + z * z / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 100 / (1 + z * z / n)
    # In exact arithmetic the share lies inside; a rounding must not put it outside.
    low, high = max(0.0, scale * (centre - half)), min(100.0, scale * (centre + half))
    return Interval(min(low, 100 * share) if n_correct else 0.0, max(high, 100 * share) if n_correct < n else 100.0)
