"""Which rows of a board were attacked on the same images: only these may be compared."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dynvit.measurements.robustness.summary import RobustEntry, RobustnessSummary

ImageSet = tuple[str | None, int]


def images_of(robust: RobustEntry) -> ImageSet:
    """What tells sets of images apart: their hash, where a board has several, and their number."""
    return robust.images, robust.n


def without_shared(summaries: Mapping[str, RobustnessSummary]) -> dict[str, RobustnessSummary]:
    """The summaries, which say what images they are of only where that tells two of them apart."""
    if len({robust.images for one in summaries.values() for robust in one.accuracy}) > 1:
        return dict(summaries)
    return {
        key: one.model_copy(
            update={"accuracy": tuple(robust.model_copy(update={"images": None}) for robust in one.accuracy)}
        )
        for key, one in summaries.items()
    }


def most_compared(attacked: Iterable[RobustEntry]) -> ImageSet:
    """The images that most were attacked on; of equals the larger set."""
    counts = Counter(map(images_of, attacked))
    return max(counts, key=lambda images: (counts[images], images[1], images[0] or ""))


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


def unequal_images(summaries: Iterable[RobustnessSummary]) -> Iterator[str]:
    """A line where rows were attacked on other images: of their accuracies the smaller is not the weaker model's."""
    sets = {images_of(one.accuracy[0]) for one in summaries if one.accuracy}
    if len(sets) > 1:
        yield (
            f"rows were attacked on {len(sets)} sets of images, and are no comparison from one to another: ● is among "
            "rows on the images that most have; bench all by the same --robustness-limit, --robustness-points and "
            "--data-seed"
        )
