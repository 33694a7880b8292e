"""Thresholds of exits for a budget: the best on the calibration images, or one for all exits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
Row = tuple[float, ...]
"""A threshold for each exit but the last, in [0, 1]; 1 keeps every image."""
EXACT_UP_TO = 2048
"""Up to this many candidates of an outer threshold are all tried; of more, this many quantiles."""
MANY_IMAGES = 10_000
"""Calibration images above which a quarter as many candidates are tried: it saves seconds, and costs no accuracy."""


@dataclass(frozen=True)
class Confidences:
    """What thresholds are solved from: scores and correctness on the calibration images.

    ``last_scores`` are the last exit's, which decide nothing but serve to break ties by ``expected``.

    Shape: ``scores`` (exits − 1, n), ``correct`` (exits, n), ``last_scores`` (n,); ``costs`` (exits,), rising, in MACs.
    """

    scores: Floats
    correct: npt.NDArray[np.bool_]
    costs: Sequence[float]
    last_scores: Floats | None = None

    def expected(self) -> Floats:
        """The probability that each exit is correct on each image, by its score: a logistic curve for each exit.

        On few images it separates settings of equal accuracy here that differ elsewhere: a curve of two parameters
        learns that a later exit is a little better where the count on these images shows no difference.
        Shape: (exits, n).
        """
        if self.last_scores is None:
            return self.correct.astype(np.float64)
        every = np.stack([*self.scores, self.last_scores]).astype(np.float64)
        return np.stack([_logistic(scores, right) for scores, right in zip(every, self.correct, strict=True)])

    def exits(self, thresholds: Sequence[float]) -> npt.NDArray[np.intp]:
        """The exit at which each image leaves. Shape: (n,)."""
        limits = np.asarray(thresholds, dtype=self.scores.dtype)[:, None]
        gone = (self.scores >= limits) & (limits < 1)
        return np.concatenate([gone, np.ones((1, gone.shape[1]), bool)]).argmax(0)

    def measure(self, thresholds: Sequence[float]) -> tuple[float, float]:
        """Mean cost and accuracy. Units: MACs, a fraction."""
        chosen = self.exits(thresholds)
        right = self.correct[chosen, np.arange(len(chosen))]
        return float(np.asarray(self.costs, dtype=np.float64)[chosen].mean()), float(right.mean())


def _logistic(scores: Floats, right: npt.NDArray[np.bool_]) -> Floats:
    """P(right | score), from a logistic regression on the score's log-odds (Platt scaling)."""
    from sklearn.linear_model import LogisticRegression

    inside = np.clip(scores, 1e-6, 1 - 1e-6)
    odds = np.log(inside / (1 - inside))
    # One pseudo-observation of each class at the median score limits the confidence of a fit on few images.
    middle = float(np.median(odds))
    seen = np.concatenate([odds, [middle, middle]])[:, None]
    fitted = LogisticRegression(C=100.0).fit(seen, np.concatenate([right, [True, False]]))
    return np.asarray(fitted.predict_proba(odds[:, None])[:, 1])


def solve_shared(known: Confidences, budgets: Sequence[float]) -> list[Row]:
    """One threshold for all exits: the most expensive one within each budget.

    An image leaves at the first exit whose score reaches the threshold, so exit k is reached where the largest score
    before it does not. Each of those is a step of the cost.
    """
    largest = np.sort(np.maximum.accumulate(known.scores, axis=0), axis=1)
    steps = np.unique(largest)[::-1]
    rows = [(_threshold(steps, leaving),) * len(largest) for leaving in range(len(steps) + 1)]
    rises = np.diff(np.asarray(known.costs, dtype=np.float64))
    reached = np.stack([np.searchsorted(each, steps) for each in largest])  # where all scores from a step on leave
    spent = known.costs[0] + np.concatenate([[rises.sum()], rises @ reached / largest.shape[1]])
    return [rows[min(int((spent > budget).sum()), len(steps))] for budget in budgets]


def solve_optimal(known: Confidences, budgets: Sequence[float], also: Sequence[Row] = ()) -> list[Row]:
    """The thresholds of the highest accuracy on the calibration images within each budget.

    ``Confidences.expected`` breaks ties, then cost. Up to three exits and 2048 different scores the result is the
    optimum over all thresholds; it is never worse than those of ``also``.
    """
    ties = known.expected() / (2 * known.scores.shape[1])  # in sum less than one image
    return _search(known, budgets, known.correct + ties, also)


def solve_expected(known: Confidences, budgets: Sequence[float], also: Sequence[Row] = ()) -> list[Row]:
    """The thresholds of the greatest expected accuracy within each budget, by ``Confidences.expected``.

    The accuracy on few images favours settings that are best there by chance; expectations vary less from set to set.
    """
    return _search(known, budgets, known.expected(), also)


def _search(known: Confidences, budgets: Sequence[float], value: Floats, also: Sequence[Row]) -> list[Row]:
    """The thresholds of the greatest summed ``value`` (exits, n) within each budget, the cheapest of equals.

    Given all thresholds but the innermost, that one is solved exactly by sorting: enough images must leave to keep the
    budget, and a running maximum of the value finds the best of those cuts. For the outer thresholds all candidates are
    tried up to three exits and 2048 different scores, otherwise quantiles and those of ``also``; then each threshold in
    turn is solved exactly, until none improves.
    """
    exits, search = len(known.costs), _Search(known, budgets, value)
    few = known.scores.shape[1] <= MANY_IMAGES
    limit = (EXACT_UP_TO if few else EXACT_UP_TO // 4) if exits <= 3 else 48
    tried = product(*(tuple(_candidates(known.scores[k], limit)) for k in range(exits - 2)))
    for fixed in {*tried, *(row[:-1] for row in also)}:
        search.try_inner(exits - 2, (*fixed, 1.0))
    for _ in range(8):
        before = list(search.best)
        for start in set(before):
            for k in range(exits - 1):
                search.try_inner(k, start)
        if search.best == before:
            break
    return [settled(known, row) for row in search.best]


class _Search:
    """The best thresholds so far, for each budget."""

    def __init__(self, known: Confidences, budgets: Sequence[float], value: Floats) -> None:
        self.value = value
        self.known, self.count = known, known.scores.shape[1]
        self.costs = np.asarray(known.costs, dtype=np.float64)
        self.limits = np.asarray(budgets, dtype=np.float64) * self.count
        self.orders = [np.argsort(-scores, kind="stable") for scores in known.scores]
        self.best: list[Row] = [(0.0,) * (len(self.costs) - 1)] * len(budgets)
        self.merit = [(round(float(self.value[0].sum()), 7), -self.costs[0] * self.count)] * len(budgets)

    def try_inner(self, k: int, fixed: Sequence[float]) -> None:
        """Solve threshold ``k`` exactly for every budget, the others as in ``fixed``."""
        known, order = self.known, self.orders[k]
        never = (*fixed[:k], 1.0, *fixed[k + 1 :])
        chosen = known.exits(never)
        right = self.value[chosen, np.arange(self.count)]
        arrives = order[chosen[order] > k]  # the most confident first
        scores = known.scores[k][arrives]
        gain = self.value[k][arrives] - right[arrives]
        saved = self.costs[chosen[arrives]] - self.costs[k]
        total = np.round(right.sum() + np.concatenate([[0], gain.cumsum()]), 7)  # equals stay equal in any order
        spent = self.costs[chosen].sum() - np.concatenate([[0.0], saved.cumsum()])
        cuts = _cuts(scores)
        total, spent = total[cuts], spent[cuts]
        best_from = _best_from(total)
        first = np.searchsorted(-spent, -self.limits)  # costs fall along the cuts
        for index, start in enumerate(first):
            if start == len(cuts):
                continue
            cut = best_from[start]
            merit = (float(total[cut]), -float(spent[cut]))
            if merit > self.merit[index]:
                self.merit[index] = merit
                self.best[index] = (*fixed[:k], _threshold(scores, int(cuts[cut])), *fixed[k + 1 :])


def settled(known: Confidences, thresholds: Sequence[float]) -> Row:
    """The same decisions with thresholds midway between scores, whose last digit differs between machines."""
    row = list(thresholds)
    waiting = np.ones(known.scores.shape[1], dtype=bool)
    for k, scores in enumerate(known.scores):
        falling = np.sort(scores[waiting])[::-1]
        leave = (scores >= scores.dtype.type(row[k])) & (row[k] < 1)
        row[k] = _threshold(falling, int(leave[waiting].sum()))
        waiting &= ~leave
    return tuple(row)


def _best_from(total: Floats) -> npt.NDArray[np.intp]:
    """For each place the place of the largest value from it on; the last of equals, which is the cheapest."""
    running = np.maximum.accumulate(total[::-1])
    places = np.arange(len(total))
    new = np.concatenate([[True], running[1:] > running[:-1]])
    return len(total) - 1 - np.maximum.accumulate(np.where(new, places, 0))[::-1]


def _cuts(falling: Floats) -> npt.NDArray[np.intp]:
    """How many of the falling scores may leave: no threshold separates equal scores."""
    between = np.flatnonzero(falling[:-1] > falling[1:]) + 1
    return np.unique(np.concatenate([[0], between, [len(falling)]]).astype(np.intp))


def _threshold(scores: Floats, leaving: int) -> float:
    """A threshold at which exactly the first ``leaving`` of the falling scores leave, midway to the next."""
    if leaving == len(scores):
        return 0.0
    if leaving == 0:
        return 1.0
    above, below = scores[leaving - 1], scores[leaving]
    middle = scores.dtype.type((float(above) + float(below)) / 2)
    return float(middle if middle > below else above)


def _candidates(scores: Floats, limit: int) -> Iterator[float]:
    falling = np.sort(scores)[::-1]
    cuts = _cuts(falling)
    if len(cuts) > limit:
        cuts = cuts[np.unique(np.linspace(0, len(cuts) - 1, limit).round().astype(int))]
    for cut in cuts:
        yield _threshold(falling, int(cut))
