"""Which rows of a board may be compared: those that were attacked on the same images, by the same attacks."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from dynvit.measurements.robustness.met import differing
from dynvit.measurements.terms import untold_said

if TYPE_CHECKING:
    from dynvit.measurements.robustness.summary import RobustEntry, RobustnessSummary

ImageSet = tuple[str | None, int]


def images_of(robust: RobustEntry) -> ImageSet:
    """What tells sets of images apart: their hash, where a board has several, and their number."""
    return robust.images, robust.n


def terms_of(robust: RobustEntry) -> tuple[ImageSet, str | None]:
    """What rows must have in common for their accuracies within a ball to be compared: images, and attacks met."""
    return images_of(robust), robust.met


def most_compared(attacked: Iterable[RobustEntry]) -> tuple[ImageSet, str | None]:
    """The terms that most were attacked on; of equals the larger set, of one set the more attempts."""
    rows = list(attacked)
    counts = Counter(map(terms_of, rows))
    most = max(rows, key=lambda row: (counts[terms_of(row)], row.n, row.images or "", row.attacks, row.met or ""))
    return terms_of(most)


def images_said(summaries: Mapping[str, RobustnessSummary]) -> dict[str, str]:
    """How many images each was attacked on, numbered where other sets are as large; empty where all have the same."""
    sets = {key: images_of(one.accuracy[0]) for key, one in summaries.items() if one.accuracy}
    by_size: dict[int, list[ImageSet]] = defaultdict(list)
    for images in dict.fromkeys(sets.values()):
        by_size[images[1]].append(images)
    if sum(map(len, by_size.values())) < 2:
        return {}

    def said(images: ImageSet) -> str:
        alike = by_size[images[1]]
        return f"{images[1]:,}" + (f" #{alike.index(images) + 1}" if len(alike) > 1 else "")

    return {key: said(images) for key, images in sets.items()}


def attempts(summary: RobustnessSummary) -> dict[str, int]:
    """How many attempts a row's accuracy within the largest ball has withstood, by norm."""
    return {robust.norm: robust.attacks for robust in sorted(summary.accuracy, key=lambda robust: robust.eps)}


def what_differs(summaries: Sequence[RobustnessSummary]) -> Iterator[str]:
    """Lines on what keeps rows from being compared: other images, other attacks, other numbers of attempts."""
    yield from unequal_images(summaries)
    yield from unequal_attempts(summaries)


def unequal_images(summaries: Iterable[RobustnessSummary]) -> Iterator[str]:
    """A line where rows were attacked on other images: of their accuracies the smaller is not the weaker model's."""
    sets = {images_of(one.accuracy[0]) for one in summaries if one.accuracy}
    if len(sets) > 1:
        yield (
            f"rows were attacked on {len(sets)} sets of images{untold_said(images for images, _ in sets)}, and cannot "
            "be compared with one another: ● is among rows on the images that most have; bench all by the same "
            "--robustness-limit, --robustness-points and --data-seed"
        )


def unequal_attempts(summaries: Iterable[RobustnessSummary]) -> Iterator[str]:
    """Lines on norms in which rows have met other attacks, or differently many attempts: of their accuracies the
    smaller is not the weaker model's."""
    summaries = list(summaries)
    counts: dict[str, set[int]] = defaultdict(set)
    for summary in summaries:
        for norm, count in attempts(summary).items():
            counts[norm].add(count)
    others = unlike_attacks(summaries)
    for norm, found in sorted(counts.items()):
        many = f"from {min(found)} to {max(found)} attempts"
        if norm in others:
            which = f"unlike in {', '.join(others[norm])}" if others[norm] else "which, is not told of all"
            yield (
                f"rows have met other attacks under {norm} ({which}{f'; {many}' if len(found) > 1 else ''}), and "
                "cannot be compared: ● is among rows that have met the same as most; the same bench again adds those "
                "that are missing, --fresh makes all anew"
            )
        elif len(found) > 1:
            yield (
                f"rows have met {many} under {norm}, and cannot be compared: the same bench again adds those that are "
                "missing, --fresh makes all anew"
            )


def unlike_attacks(summaries: Iterable[RobustnessSummary]) -> dict[str, list[str]]:
    """By norm, the attacks that rows on the same images have not met alike; no name where that is not told."""
    met: dict[tuple[str, float, ImageSet], set[str | None]] = defaultdict(set)
    for summary in summaries:
        for robust in summary.accuracy:
            met[robust.norm, robust.eps, images_of(robust)].add(robust.met)
    found: dict[str, set[str]] = defaultdict(set)
    for (norm, _, _), within in met.items():
        if len(within) > 1:
            found[norm].update(differing(within))
    return {norm: sorted(names) for norm, names in found.items()}
