"""What chance leaves open of the methods' fronts: other images, other trainings, and so the ranks.

A front is as good as the accuracy that it has to offer at a cost, on average over the costs that every ranked method
can meet. Its hypervolume says less: most of that lies below the cheapest points, and goes to whoever reaches lowest.

Which point is best at a cost is chosen on one half of the images and scored on the other, and the other way round: the
best of many points on the same images is the best partly by luck, and the more points a method has, the luckier it is.

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
HALVES = 2  # images alternate between them: of each class about as many, where ids are sorted by class
_BLOCK = 100  # resamples at a time: their counts take 4 bytes an image each
_ENDS = (2.5, 97.5)


class MethodBootstrap(Frozen):
    """How far the images and the seeds settle the accuracy that a method's front offers."""

    resamples: int = Field(ge=1, description="resamples of the images; the same for every method of the board")
    from_gmacs: float = Field(ge=0, description="the least cost that every ranked method can meet, GMACs")
    mean_pct: float = Field(
        ge=0,
        le=100,
        description="top-1 on each half of the images of the point that is best on the other and costs no more, mean "
        "over costs from from_gmacs to the static backbone's, percent; of several seeds: mean over the front of each",
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
class Offer:
    """The mean accuracy of a method's front as measured, in each resample, and by each seed of several.

    Units: percent; ``from_gmacs``, where the costs begin, GMACs.
    """

    measured: float
    resampled: Floats
    by_seed: Mapping[int, float]
    from_gmacs: float


def draws(n: int, resamples: int, seed: int = SEED) -> NDArray[np.float32]:
    """How often each of ``n`` images is drawn in each resample of ``n``.

    Shape: (resamples, n). From the raw bits of PCG64, which numpy keeps the same for ever; its samplers it does not.
    """
    import numpy as np

    drawn = np.random.PCG64(seed).random_raw(resamples * n).reshape(resamples, n) % np.uint64(n)
    return np.stack([np.bincount(row, minlength=n) for row in drawn.astype(np.int64)]).astype(np.float32)


def right_by_half(right: Bools) -> Floats:
    """How many images of each half each record has right. Shape: ``right`` (k, n); returns (HALVES, k)."""
    import numpy as np

    return np.stack([right[:, half::HALVES].sum(axis=1) for half in range(HALVES)]).astype(np.float64)


def resampled_by_half(right: Bools, resamples: int = RESAMPLES, seed: int = SEED) -> Floats:
    """The same in resamples of all images, which are the same for every record.

    Shape: ``right`` (k, n); returns (HALVES, resamples, k). Exact: counts are whole numbers below 2²⁴.
    """
    import numpy as np

    columns = right.T.astype(np.float32)
    found: list[list[NDArray[np.float32]]] = [[] for _ in range(HALVES)]
    for place, start in enumerate(range(0, resamples, _BLOCK)):
        drawn = draws(right.shape[1], min(_BLOCK, resamples - start), seed + place)
        for half in range(HALVES):
            found[half].append(drawn[:, half::HALVES] @ columns[half::HALVES])
    return np.stack([np.concatenate(blocks) for blocks in found]).astype(np.float64)


def shares_of_costs(gmacs: Floats, right: Floats, costs: tuple[float, float]) -> Floats:
    """Of a range of costs the share at which each point is the best that costs no more; of equals the cheapest.

    Args:
        gmacs: (k,); one is not above the lower cost.
        right: (k,), how many images each has right.
        costs: the range, GMACs.

    Returns: (k,), 1 in all.

    >>> import numpy as np
    >>> shares_of_costs(np.array([0.5, 2.0, 3.0]), np.array([7, 8, 8]), (1.0, 4.0)).round(3).tolist()
    [0.333, 0.667, 0.0]
    """
    import numpy as np

    order = np.lexsort((-right, gmacs))
    widths = np.diff(np.clip(gmacs[order], *costs), append=costs[1]) / (costs[1] - costs[0])
    shares, best = np.zeros(len(gmacs)), order[0]
    for point, width in zip(order, widths, strict=True):
        best = point if right[point] > right[best] else best
        shares[best] += width
    return shares


def offered(gmacs: Floats, right: Bools, resampled: Floats, costs: tuple[float, float]) -> Floats:
    """What a front offers on average over a range of costs: as measured, then in each resample.

    Args:
        gmacs: (k,); one is not above the lower cost.
        right: (k, n), the images that each point has right.
        resampled: (HALVES, resamples, k), of ``resampled_by_half``.
        costs: the range, GMACs.

    Returns: (1 + resamples,), percent.
    """
    import numpy as np

    halves = right_by_half(right)
    both = np.concatenate([halves[:, None], resampled], axis=1)
    chosen = [shares_of_costs(gmacs, halves[1 - half], costs) for half in range(HALVES)]
    found: Floats = sum(both[half] @ chosen[half] for half in range(HALVES)) * (100 / right.shape[1])
    return found


def offers(
    methods: Mapping[str, Mapping[int, Front]], dense_gmacs: float, resamples: int = RESAMPLES
) -> dict[str, Offer]:
    """What the fronts of each method offer on the same resampled images: of several seeds the mean over their fronts.

    Left out is what has no choice to offer: a single point, or none that saves anything.

    Args:
        methods: by method, then by seed; all on the same images.
        dense_gmacs: of the static backbone.
        resamples: how many.

    Returns: by method.
    """
    import numpy as np

    least = {name: max(float(one.gmacs.min()) for one in own.values()) for name, own in methods.items()}
    several = {name for name, own in methods.items() if all(len(np.unique(one.gmacs)) > 1 for one in own.values())}
    saving = {name: own for name, own in methods.items() if name in several and least[name] < dense_gmacs}
    if not saving:
        return {}
    costs = max(least[name] for name in saving), dense_gmacs
    fronts = [front for by_seed in saving.values() for _, front in sorted(by_seed.items())]
    places = np.cumsum([len(front.gmacs) for front in fronts])[:-1]
    resampled = np.split(resampled_by_half(np.concatenate([one.right for one in fronts]), resamples), places, axis=2)
    means = iter(offered(one.gmacs, one.right, own, costs) for one, own in zip(fronts, resampled, strict=True))
    found = {}
    for name, by_seed in saving.items():
        own = {seed: next(means) for seed in sorted(by_seed)}
        mean = np.mean(list(own.values()), axis=0)
        measured = {seed: float(each[0]) for seed, each in own.items()} if len(own) > 1 else {}
        found[name] = Offer(float(mean[0]), mean[1:], measured, costs[0])
    return found


def difference(first: Offer, second: Offer) -> tuple[float, float]:
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


def bootstrap(methods: Mapping[str, Offer]) -> dict[str, MethodBootstrap]:
    """Each method's mean accuracy with its interval and its place among the others.

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
            from_gmacs=one.from_gmacs,
            mean_pct=min(one.measured, 100.0),
            low_pct=float(low),
            high_pct=float(high),
            seeds=tuple(one.by_seed),
            seed_sd_pct=statistics.stdev(one.by_seed.values()) if one.by_seed else None,
            rank_best=1 + above[name],
            rank_worst=len(methods) - below[name],
        )
    return found
