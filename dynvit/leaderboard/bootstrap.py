"""What chance leaves open of the methods' fronts: other images, other trainings, and so the ranks.

Every record is judged on the same resampled images, so that two methods are compared as image by image. An image's
cost is not resampled: a record keeps the bit of each image, and of the cost its mean.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import TYPE_CHECKING

from pydantic import Field

from dynvit.leaderboard.frozen import Frozen

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dynvit.leaderboard.per_sample import Bools

    Floats = NDArray[np.float64]

# numpy and scipy are imported where they compute: who shows a finished board does not wait for them.
RESAMPLES = 1000
SEED = 0
_BLOCK = 100  # resamples at a time: their counts take 4 bytes an image each
_ENDS = (2.5, 97.5)


class MethodBootstrap(Frozen):
    """How far the images and the seeds settle what a method's front is worth."""

    resamples: int = Field(ge=1, description="resamples of the images; the same for every method of the board")
    worth_pct: float = Field(
        ge=0, le=100, description="hypervolume_share in percent; of several seeds: mean over the front of each"
    )
    low_pct: float = Field(ge=0, le=100, description="2.5 % of the resamples give less, percent")
    high_pct: float = Field(ge=0, le=100, description="97.5 % of the resamples give less, percent")
    seeds: tuple[int, ...] = Field(default=(), description="seeds of the trainings, where there are several")
    seed_sd_pct: float | None = Field(
        default=None, ge=0, description="standard deviation over the seeds (n - 1), points; null: one training"
    )
    rank_best: int = Field(ge=1, description="1 and one for each method that is better beyond images and seeds")
    rank_worst: int = Field(ge=1, description="methods ranked, less those that are worse beyond images and seeds")


@dataclass(frozen=True)
class Front:
    """Points of one training's models: mean GMACs, and which images each answered correctly.

    Shape: ``gmacs`` (k,), ``right`` (k, n).
    """

    gmacs: Floats
    right: Bools


@dataclass(frozen=True)
class Worth:
    """What a method's front is worth as measured, in each resample, and by each seed of several. Units: percent."""

    measured: float
    resampled: Floats
    by_seed: Mapping[int, float]


def draws(n: int, resamples: int, seed: int = SEED) -> NDArray[np.float32]:
    """How often each of ``n`` images is drawn in each resample of ``n``.

    Shape: (resamples, n). From the raw bits of PCG64, which numpy keeps the same for ever; its samplers it does not.
    """
    import numpy as np

    drawn = np.random.PCG64(seed).random_raw(resamples * n).reshape(resamples, n) % np.uint64(n)
    return np.stack([np.bincount(row, minlength=n) for row in drawn.astype(np.int64)]).astype(np.float32)


def resampled_accuracy(right: Bools, resamples: int = RESAMPLES, seed: int = SEED) -> Floats:
    """Top-1 of each record on the same resampled images, in percent.

    Shape: ``right`` (k, n); returns (resamples, k). Exact: counts are whole numbers below 2²⁴.
    """
    import numpy as np

    n, columns = right.shape[1], right.T.astype(np.float32)
    blocks = [min(_BLOCK, resamples - start) for start in range(0, resamples, _BLOCK)]
    found = [draws(n, size, seed + place) @ columns for place, size in enumerate(blocks)]
    return 100 * np.concatenate(found).astype(np.float64) / n


def worth_of_resamples(gmacs: Floats, accuracy: Floats, reference: tuple[float, float]) -> Floats:
    """The hypervolume of the points in each resample, as percent of the rectangle down to ``reference``.

    Args:
        gmacs: (k,), the same in every resample.
        accuracy: (resamples, k), percent.
        reference: GMACs of the static backbone, and chance in percent.

    Returns: (resamples,). As ``dynvit.leaderboard.front.hypervolume``, for many sets of points at once.

    >>> import numpy as np
    >>> worth_of_resamples(np.array([1.0, 2.0]), np.array([[70.0, 80.0]]), (4.0, 0.0)).round(3).tolist()
    [57.5]
    """
    import numpy as np

    order = np.argsort(gmacs, kind="stable")
    cost, dense = np.minimum(gmacs[order], reference[0]), reference[0]
    best = np.maximum.accumulate(np.maximum(accuracy[:, order] - reference[1], 0.0), axis=1)
    worth: Floats = 100 * (best @ np.diff(cost, append=dense)) / (dense * (100 - reference[1]))
    return worth


def worths(
    methods: Mapping[str, Mapping[int, Front]], reference: tuple[float, float], resamples: int = RESAMPLES
) -> dict[str, Worth]:
    """What each method's fronts are worth on the same resampled images: of several seeds the mean over their fronts.

    Args:
        methods: by method, then by seed; all on the same images.
        reference: GMACs of the static backbone, and chance in percent.
        resamples: how many.

    Returns: by method.
    """
    import numpy as np

    fronts = [front for by_seed in methods.values() for _, front in sorted(by_seed.items())]
    right = np.concatenate([front.right for front in fronts])
    places = np.cumsum([len(front.gmacs) for front in fronts])[:-1]
    both = np.concatenate([100 * right.mean(axis=1)[None], resampled_accuracy(right, resamples)])
    worth = iter(
        worth_of_resamples(front.gmacs, accuracy, reference)
        for front, accuracy in zip(fronts, np.split(both, places, axis=1), strict=True)
    )
    found = {}
    for name, by_seed in methods.items():
        own = {seed: next(worth) for seed in sorted(by_seed)}
        mean = np.mean(list(own.values()), axis=0)
        measured = {seed: float(each[0]) for seed, each in own.items()} if len(own) > 1 else {}
        found[name] = Worth(float(mean[0]), mean[1:], measured)
    return found


def difference(first: Worth, second: Worth) -> tuple[float, float]:
    """The 95 % interval of second less first, over images and seeds together. Units: points.

    Of the images the bootstrap's percentiles; of the seeds Welch's interval; their half widths add as squares. One
    training tells nothing of others: its seed adds nothing.
    """
    import numpy as np

    found = second.measured - first.measured
    low, high = np.percentile(second.resampled - first.resampled, _ENDS)
    seeds = welch_half_width(list(first.by_seed.values()), list(second.by_seed.values()))
    return found - math.hypot(max(found - low, 0.0), seeds), found + math.hypot(max(high - found, 0.0), seeds)


def welch_half_width(first: Sequence[float], second: Sequence[float]) -> float:
    """Half the 95 % interval of the difference of two means; a side with fewer than two numbers adds nothing.

    Source: Welch, "The generalization of 'Student's' problem when several different population variances are
    involved", 1947, with Satterthwaite's degrees of freedom.

    >>> round(welch_half_width([1.0, 2.0, 3.0], []), 3)  # 4.303 of 1 / √3
    2.484
    >>> welch_half_width([], [5.0]), welch_half_width([1.0, 1.0], [2.0, 2.0])
    (0.0, 0.0)
    """
    sides = [(statistics.variance(side) / len(side), len(side) - 1) for side in (first, second) if len(side) > 1]
    total = sum(variance for variance, _ in sides)
    if total == 0:
        return 0.0
    from scipy.special import stdtrit

    freedom = total**2 / sum(variance**2 / degrees for variance, degrees in sides)
    return float(stdtrit(freedom, 0.975)) * math.sqrt(total)


def bootstrap(methods: Mapping[str, Worth]) -> dict[str, MethodBootstrap]:
    """Each method's worth with its interval and its place among the others.

    A place is a range: a method is better than another where the 95 % interval of their difference is above 0, each
    pair by itself. Methods that chance does not tell apart share places.
    """
    import numpy as np

    above, below = (dict.fromkeys(methods, 0) for _ in range(2))
    for name, other in permutations(methods, 2):
        if difference(methods[name], methods[other])[0] > 0:
            above[name] += 1
            below[other] += 1
    found = {}
    for name, one in methods.items():
        low, high = np.clip(np.percentile(one.resampled, _ENDS), 0, 100)
        found[name] = MethodBootstrap(
            resamples=len(one.resampled),
            worth_pct=min(one.measured, 100.0),
            low_pct=float(low),
            high_pct=float(high),
            seeds=tuple(one.by_seed),
            seed_sd_pct=statistics.stdev(one.by_seed.values()) if one.by_seed else None,
            rank_best=1 + above[name],
            rank_worst=len(methods) - below[name],
        )
    return found
