"""Which points are worth having: the front, its hypervolume, and the best so far. Arrays in, arrays out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def non_dominated(points: ArrayLike, minimise: Sequence[bool]) -> NDArray[np.bool_]:
    """Mark the points that no other dominates, for any number of objectives.

    A point dominates another when it is at least as good in every objective and better in one. Equal
    points do not dominate each other: of several measurements with the same outcome all stay, since none
    gives a reason to drop another.

    Shape: ``points`` (n, m), ``minimise`` m; returns (n,). ``minimise`` says for each objective whether
    less is better. Time: O(n² m).
    Raises: ``ValueError`` for another shape or for numbers that are not finite.

    >>> non_dominated([[1.0, 70.0], [2.0, 69.0], [2.0, 75.0]], minimise=(True, False)).tolist()
    [True, False, True]
    """
    costs = _as_costs(points, minimise)
    return np.array([not _dominates_any(costs, cost) for cost in costs], dtype=bool)


def hypervolume(points: ArrayLike, reference: Sequence[float], minimise: Sequence[bool]) -> float:
    """The volume that the points dominate, down to ``reference``; exact, in up to three objectives.

    A point that is not better than the reference in every objective adds nothing. In the product of the
    objectives' units.

    Shape: ``points`` (n, m), ``reference`` and ``minimise`` m, with m of 1, 2 or 3.
    Source: Zitzler & Thiele 1998, the size of the dominated space; three objectives by slicing along the
    last, O(n² log n).
    Raises: ``ValueError`` for another shape, more than three objectives, or numbers that are not finite.

    >>> hypervolume([[1.0, 70.0], [2.0, 80.0]], reference=(4.0, 0.0), minimise=(True, False))
    230.0
    """
    bound = _as_costs([list(reference)], minimise)[0]
    costs = _as_costs(points, minimise)
    # As gains over the reference: every axis starts at 0 and more is better.
    gains = bound - costs
    gains = gains[(gains > 0).all(axis=1)]
    if gains.shape[1] > 3:
        raise ValueError("hypervolume takes up to three objectives")
    if gains.shape[1] == 1:
        return float(gains.max(initial=0.0))
    return _area(gains) if gains.shape[1] == 2 else _volume(gains)


def running_best(cost: ArrayLike, value: ArrayLike) -> tuple[Floats, Floats]:
    """The best value that each cost buys: the monotone curve through a cloud of points.

    Shape: ``cost`` and ``value`` (n,); returns the k different costs, rising, and for each the highest
    value at that cost or below.

    >>> [list(map(float, axis)) for axis in running_best([3.0, 1.0, 2.0], [7.0, 5.0, 4.0])]
    [[1.0, 2.0, 3.0], [5.0, 5.0, 7.0]]
    """
    spent, gained = np.asarray(cost, dtype=np.float64), np.asarray(value, dtype=np.float64)
    costs, group = np.unique(spent, return_inverse=True)
    best = np.full(len(costs), -np.inf)
    np.maximum.at(best, group, gained)
    return costs, np.maximum.accumulate(best)


def _as_costs(points: ArrayLike, minimise: Sequence[bool]) -> Floats:
    """The points with every objective to be minimised."""
    array = np.asarray(points, dtype=np.float64)
    if array.size == 0:
        array = array.reshape(0, len(minimise))
    if array.ndim != 2 or array.shape[1] != len(minimise):
        raise ValueError(f"points of shape {array.shape} do not have the {len(minimise)} objectives named")
    if not np.isfinite(array).all():
        raise ValueError("points must be finite")
    return array * np.where(np.asarray(minimise, dtype=bool), 1.0, -1.0)


def _dominates_any(costs: Floats, cost: Floats) -> bool:
    return bool(((costs <= cost).all(axis=1) & (costs < cost).any(axis=1)).any())


def _area(gains: Floats) -> float:
    """Area of the union of the rectangles from the origin to each point."""
    area, height = 0.0, 0.0
    for width, top in gains[np.argsort(-gains[:, 0], kind="stable")]:
        area += width * max(top - height, 0.0)
        height = max(height, top)
    return float(area)


def _volume(gains: Floats) -> float:
    """Volume of the union of the boxes from the origin to each point, slice by slice from the top."""
    ordered = gains[np.argsort(-gains[:, 2], kind="stable")]
    floors = np.append(ordered[1:, 2], 0.0)
    depths = ordered[:, 2] - floors
    return float(sum(depth * _area(ordered[: i + 1, :2]) for i, depth in enumerate(depths) if depth > 0))
