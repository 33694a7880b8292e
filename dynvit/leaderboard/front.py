"""Which points are worth having: the front and its hypervolume. Arrays in, arrays out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

# numpy and moocore are imported where they compute: who reads a finished board does not wait for it.


def non_dominated(points: ArrayLike, minimise: Sequence[bool]) -> NDArray[np.bool_]:
    """Mark the points that no other dominates, for any number of objectives.

    A point dominates another when it is at least as good in every objective and better in one. Equal
    points do not dominate each other: of several measurements with the same outcome all stay, since none
    gives a reason to drop another.

    Shape: ``points`` (n, m), ``minimise`` m; returns (n,). ``minimise`` says for each objective whether
    less is better. Time: O(n log n) in up to three objectives.
    Source: Kung, Luccio & Preparata, "On finding the maxima of a set of vectors", 1975, as moocore has it.
    Raises: ``ValueError`` for another shape or for numbers that are not finite.

    >>> non_dominated([[1.0, 70.0], [2.0, 69.0], [2.0, 75.0]], minimise=(True, False)).tolist()
    [True, False, True]
    """
    from moocore import is_nondominated

    found: NDArray[np.bool_] = is_nondominated(_as_costs(points, minimise), keep_weakly=True)
    return found


def hypervolume(points: ArrayLike, reference: Sequence[float], minimise: Sequence[bool]) -> float:
    """The volume that the points dominate, down to ``reference``; exact.

    A point that is not better than the reference in every objective adds nothing. In the product of the
    objectives' units.

    Shape: ``points`` (n, m), ``reference`` and ``minimise`` m. Time: O(n log n) in up to three objectives.
    Source: Zitzler & Thiele 1998, the size of the dominated space; Guerreiro & Fonseca, "Computing and
    updating hypervolume contributions in up to four dimensions", 2018, as moocore has it.
    Raises: ``ValueError`` for another shape or for numbers that are not finite.

    >>> hypervolume([[1.0, 70.0], [2.0, 80.0]], reference=(4.0, 0.0), minimise=(True, False))
    230.0
    """
    from moocore import hypervolume as exact

    bound = _as_costs([list(reference)], minimise)[0]
    return float(exact(_as_costs(points, minimise), ref=bound))


def _as_costs(points: ArrayLike, minimise: Sequence[bool]) -> NDArray[np.float64]:
    """The points with every objective to be minimised."""
    import numpy as np

    array = np.asarray(points, dtype=np.float64)
    if array.size == 0:
        array = array.reshape(0, len(minimise))
    if array.ndim != 2 or array.shape[1] != len(minimise):
        raise ValueError(f"points of shape {array.shape} do not have the {len(minimise)} objectives named")
    if not np.isfinite(array).all():
        raise ValueError("points must be finite")
    return array * np.where(np.asarray(minimise, dtype=bool), 1.0, -1.0)
