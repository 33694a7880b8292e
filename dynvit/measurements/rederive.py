"""What of a follow-up measurement follows from the rest of its line and from its record: derived again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from dynvit.leaderboard.contradiction import Contradiction, between, equal, share_of_images
from dynvit.leaderboard.per_sample import PerSampleResults, unpack
from dynvit.leaderboard.record import JsonObject, Record, is_static, saving_lost_pct
from dynvit.leaderboard.rederive import of_interval


@dataclass(frozen=True)
class Beside:
    """What stands beside a result: its configuration, its record, and what must agree with it to the last image.

    ``per_sample`` are the record's, ``results`` those of the same measurement of the record; both are from the same
    processor and software, since another may round an image to the other side. None: a file was given alone.
    """

    config: JsonObject
    record: Record | None = None
    per_sample: PerSampleResults | None = None
    results: Sequence[Any] = ()


class ImageByImage(Protocol):
    """A result that is known image by image, beside that of the same images clean."""

    n: int
    accuracy_pct: float
    accuracy_ci95_low_pct: float | None
    accuracy_ci95_high_pct: float | None
    gmacs_mean: float
    clean_accuracy_pct: float | None
    clean_gmacs_mean: float | None
    saving_lost_pct: float | None
    images: str | None
    right: str | None


def of_images(result: ImageByImage, beside: Beside) -> Iterator[Contradiction]:
    """Accuracy and interval from the images that are right; the clean numbers; the saving lost."""
    n = result.n
    correct = round(result.accuracy_pct * n / 100)
    if result.right is not None:
        correct = int(unpack(result.right, n).sum())
    if (result.right is None) != (result.images is None):
        yield Contradiction("images", "stand with right: which images, and which of them", result.images)
    yield from equal("accuracy_pct", result.accuracy_pct, 100 * correct / n, f"{correct} of {n} images are right")
    ends = result.accuracy_ci95_low_pct, result.accuracy_ci95_high_pct
    yield from of_interval("accuracy_ci95", ends, correct=correct, n=n)
    yield from share_of_images("clean_accuracy_pct", result.clean_accuracy_pct, n)
    if beside.record is not None:
        yield from _of_record(result, beside.record, beside.per_sample)
    yield from _of_same_images(result, beside.results)


def _of_record(result: ImageByImage, record: Record, per_sample: PerSampleResults | None) -> Iterator[Contradiction]:
    dense, clean = record.compute.dense_gmacs, result.clean_gmacs_mean
    if clean is not None:
        yield from between("n", result.n, 1, record.dataset.n_unique, "images of the record")
        lost = saving_lost_pct(result.gmacs_mean, clean, dense)
        why = "of gmacs_mean, clean_gmacs_mean and the record's dense_gmacs"
        yield from equal("saving_lost_pct", result.saving_lost_pct, lost, why)
    if is_static(record):
        for at, got in (("gmacs_mean", result.gmacs_mean), ("clean_gmacs_mean", clean)):
            if got is not None:
                yield from equal(at, got, dense, "every image costs the static backbone as much")
    if clean is not None:
        yield from between("clean_gmacs_mean", clean, 0, record.compute.gmacs_max, "the record's costliest image")
    if per_sample is not None and result.images == per_sample.images and result.clean_accuracy_pct is not None:
        why = "the record is of the same images"
        yield from equal("n", result.n, per_sample.n, why)
        yield from equal("clean_accuracy_pct", result.clean_accuracy_pct, record.accuracy.top1_pct, why)
        if clean is not None:
            yield from equal("clean_gmacs_mean", clean, record.compute.gmacs_mean, why)


def _of_same_images(result: ImageByImage, results: Sequence[ImageByImage]) -> Iterator[Contradiction]:
    """All results of a record on the same images have the same clean numbers: those that most have."""
    alike = [other for other in results if other.images == result.images and result.images is not None]
    for at in ("n", "clean_accuracy_pct", "clean_gmacs_mean"):
        values = [getattr(other, at) for other in alike]
        if values:
            why = "as most of this record's lines on the same images"
            yield from equal(at, getattr(result, at), max(values, key=values.count), why)
