"""What of a record, and of records together, follows from the rest: derived again.

Reading a record holds what costs nothing to check. This is the rest, for ``dynvit validate``.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import TypeVar

from dynvit.leaderboard.contradiction import Contradiction, between, equal, share_of_images
from dynvit.leaderboard.interval import wilson
from dynvit.leaderboard.per_sample import PerSampleResults
from dynvit.leaderboard.record import ComputeRecord, Record, is_static, saving_pct

T = TypeVar("T")
_PERCENTILES = ((0.05, "gmacs_p5"), (0.50, "gmacs_p50"), (0.95, "gmacs_p95"))


def of_record(record: Record) -> Iterator[Contradiction]:
    """What a record says against itself."""
    accuracy, n = record.accuracy, record.dataset.n_unique
    right = f"n_correct {accuracy.n_correct:,} of {n:,}"
    yield from equal("accuracy.top1_pct", accuracy.top1_pct, 100 * accuracy.n_correct / n, right)
    yield from of_interval(
        "accuracy.top1_ci95",
        (accuracy.top1_ci95_low_pct, accuracy.top1_ci95_high_pct),
        correct=accuracy.n_correct,
        n=n,
    )
    yield from of_top5("accuracy.top5_pct", accuracy.top5_pct, record.backbone.num_classes, n)
    for contradiction in of_compute(record.compute, n, static=is_static(record)):
        yield contradiction.within("compute")
    yield from equal(
        "point.realised_gmacs", record.point.realised_gmacs, record.compute.gmacs_mean, "compute.gmacs_mean"
    )
    if record.dataset.limit is not None:
        expected = record.dataset.n_expected
        yield from between("dataset.n_expected", expected, 1, record.dataset.limit, "limit")


def of_interval(at: str, ends: tuple[float | None, float | None], *, correct: int, n: int) -> Iterator[Contradiction]:
    """Wilson's interval of a share: ``AT_low_pct`` and ``AT_high_pct``."""
    interval = wilson(correct, n)
    for end, got, must in (("low", ends[0], interval.low_pct), ("high", ends[1], interval.high_pct)):
        if got is not None:
            yield from equal(f"{at}_{end}_pct", got, must, f"Wilson's interval of {correct:,} of {n:,}")


def of_top5(at: str, top5_pct: float | None, classes: int, n: int) -> Iterator[Contradiction]:
    """Top-5 is a share of the images, and says nothing with five classes or fewer."""
    if (top5_pct is None) != (classes <= 5):
        yield Contradiction(at, f"be {'null' if classes <= 5 else 'a share'} with {classes} classes", top5_pct)
    yield from share_of_images(at, top5_pct, n)


def of_compute(compute: ComputeRecord, n: int, *, static: bool) -> Iterator[Contradiction]:
    """The saving; and a mean that such percentiles allow. ``static``: every image costs what dense costs."""
    must = saving_pct(compute.gmacs_mean, compute.dense_gmacs)
    yield from equal("saving_pct", compute.saving_pct, must, "100 (1 - gmacs_mean / dense_gmacs)")
    low, high = mean_bounds([(share, getattr(compute, key)) for share, key in _PERCENTILES], compute.gmacs_max, n)
    yield from between("gmacs_mean", compute.gmacs_mean, low, high, "what the percentiles allow")
    for key in ("gmacs_p5", "gmacs_p50", "gmacs_p95", "gmacs_max") if static else ():
        yield from equal(
            key, getattr(compute, key), compute.dense_gmacs, "every image costs the static backbone as much"
        )


def mean_bounds(percentiles: Sequence[tuple[float, float]], most: float, n: int) -> tuple[float, float]:
    """Between what the mean of n numbers lies, by some of their percentiles (linear, as numpy's) and their maximum.

    Of the sorted numbers those up to a percentile's place are at most that, and those from there on at least that.

    >>> mean_bounds([(0.5, 2.0)], most=4.0, n=3)
    (2.0, 2.6666666666666665)
    """
    low = high = 0.0
    known = [*percentiles, (1.0, most)]
    places = [share * (n - 1) for share, _ in known]
    at_most = [math.floor(place) + 1 for place in places]
    at_least = [*(math.ceil(place) for place in places), n]
    for index, (_, value) in enumerate(known):
        high += (at_most[index] - (at_most[index - 1] if index else 0)) * value
        low += (at_least[index + 1] - at_least[index]) * value
    return low / n, high / n


def agreeing(
    placed: Sequence[tuple[str, T]], what: Callable[[T], Hashable], fields: dict[str, Callable[[T], object]]
) -> Iterator[tuple[str, Contradiction]]:
    """Things that must agree in some fields where they are alike in ``what``: who does not, and how.

    The value that most have is taken for the right one, the first of equals.

    Args:
        placed: each with where it stands.
        what: those of equal value must agree.
        fields: what they must agree in, by name.

    Returns: where each contradiction stands, and the contradiction.
    """
    groups: dict[Hashable, list[tuple[str, T]]] = {}
    for where, thing in placed:
        groups.setdefault(what(thing), []).append((where, thing))
    for group in groups.values():
        for name, field in fields.items():
            values = [field(thing) for _, thing in group]
            must, count = Counter(values).most_common(1)[0]
            first = group[values.index(must)][0]
            also = f"as in {first}" + (f" and {count - 1} more" if count > 1 else "")
            for where, thing in group:
                yield from ((where, found) for found in equal(name, field(thing), must, also))


def of_records(placed: Sequence[tuple[str, Record]]) -> Iterator[tuple[str, Contradiction]]:
    """What records say against each other: each backbone has one size and cost, each split as many images."""
    yield from agreeing(placed, lambda r: (*_network(r), r.compute.rule), {"compute.dense_gmacs": _dense})
    yield from agreeing(placed, _network, {"backbone.params": lambda r: r.backbone.params})
    yield from agreeing(
        placed,
        images_of,
        {"dataset.n_expected": lambda r: r.dataset.n_expected, "dataset.n_bad": lambda r: r.dataset.n_bad},
    )


def of_per_sample(results: PerSampleResults, record: Record, where: str) -> Iterator[Contradiction]:
    """What per-sample results say against their record. ``where``: of the record."""
    yield from equal("n", results.n, record.dataset.n_unique, f"n_unique of {where}")
    right, correct = int(results.bits().sum()), record.accuracy.n_correct
    if right != correct:
        yield Contradiction("right", f"mark {correct} images as correct (accuracy.n_correct of {where})", right)


def images_of(record: Record) -> Hashable:
    """Which images a record is of."""
    dataset = record.dataset
    return dataset.name, dataset.split, dataset.manifest_sha256, dataset.limit


def _network(record: Record) -> tuple[Hashable, ...]:
    backbone = record.backbone
    return backbone.name, backbone.image_size, backbone.num_classes


def _dense(record: Record) -> float:
    return record.compute.dense_gmacs
