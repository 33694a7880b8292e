"""Thresholds for a budget: by the released code's exit shares, and the best on the calibration images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from dynvit.exits import thresholds as best
from dynvit.exits.thresholds import Confidences, Floats, Row, settled

NEVER, ALWAYS = 1e8, -1e8


def released_shares(step: float, exits: int) -> Floats:
    """The released code's shares of images by exit: proportional to (step / 20)^k, k = 1, 2, …; float32.

    Its 59 budgets are the steps 1 to 59.

    >>> released_shares(20, 3)
    array([0.33333334, 0.33333334, 0.33333334], dtype=float32)
    """
    powers = np.exp(np.log(np.float32(step / 20)) * np.arange(1, exits + 1, dtype=np.float32))
    return (powers / powers.sum()).astype(np.float32)


def released_thresholds(scores: Floats, shares: Floats) -> Floats:
    """The released code's thresholds for given shares: each exit takes its share of all images by confidence.

    An exit whose share rounds to no image, or exceeds the images left, gets 1e8; the last gets −1e8.

    Shape: scores (exits or exits − 1, n), shares (exits,) → (exits,).
    """
    count, exits = scores.shape[1], len(shares)
    thresholds = np.full(exits, NEVER, dtype=scores.dtype)
    thresholds[-1] = ALWAYS
    left = np.zeros(count, dtype=bool)
    for k in range(exits - 1):
        wanted = int(np.floor(shares[k] * shares.dtype.type(count)))
        waiting = np.sort(scores[k][~left])[::-1]
        if 1 <= wanted <= len(waiting):
            thresholds[k] = waiting[wanted - 1]
        left |= scores[k] >= thresholds[k]
    return thresholds


def as_knobs(thresholds: Sequence[float] | Floats) -> Row:
    """Released thresholds as our knobs: in [0, 1], none for the last exit, 1 for never."""
    below = float(np.nextafter(np.float32(1), np.float32(0)))
    return tuple(1.0 if t > 1 else min(max(float(t), 0.0), below) for t in thresholds[:-1])


def solve_released(known: Confidences, budgets: Sequence[float]) -> list[Row]:
    """The released code's exit shares at the most expensive step within each budget, over 1,200 steps."""
    exits = len(known.costs)
    steps = np.geomspace(1e-3, 1e5, 1200)
    solved = [as_knobs(released_thresholds(known.scores, released_shares(step, exits))) for step in steps]
    spent = np.array([known.measure(row)[0] for row in solved])
    chosen = []
    for budget in budgets:
        within = np.flatnonzero(spent <= budget)
        chosen.append(solved[within[spent[within].argmax()]] if len(within) else (0.0,) * (exits - 1))
    return [settled(known, row) for row in chosen]


def solve_optimal(known: Confidences, budgets: Sequence[float]) -> list[Row]:
    """The thresholds of the highest accuracy within each budget, never worse than the released code's 59 steps."""
    return best.solve_optimal(known, budgets, _released(known))


def solve_expected(known: Confidences, budgets: Sequence[float]) -> list[Row]:
    """The thresholds of the greatest expected accuracy within each budget."""
    return best.solve_expected(known, budgets, _released(known))


def _released(known: Confidences) -> list[Row]:
    exits = len(known.costs)
    return [as_knobs(released_thresholds(known.scores, released_shares(step, exits))) for step in range(1, 60)]


Solver = Callable[[Confidences, Sequence[float]], list[Row]]
"""(confidences, budgets) → thresholds for each budget. Units: budgets in MACs per image."""

SOLVERS: Mapping[str, Solver] = {"optimal": solve_optimal, "expected": solve_expected, "released": solve_released}
"""How thresholds follow from a budget, by the option's value."""
