"""What a record's corruptions come to: mean accuracy, mCE, and what they do to compute."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Literal, Self

from pydantic import Field, JsonValue

from dynvit.leaderboard.record import Amount, Frozen, JsonObject, Name, Percent, Record
from dynvit.measurements.corruption.result import GENERATED, PRECOMPUTED, CorruptionResult
from dynvit.measurements.terms import Termed

# Top-1 error of AlexNet over the five severities of each corruption of ImageNet-C, which mCE divides by.
# Source: Hendrycks & Dietterich, 2019 (arXiv 1903.12261), table 1; to six digits as their repository gives them.
ALEXNET_ERROR = {
    "gaussian_noise": 0.886428,
    "shot_noise": 0.894468,
    "impulse_noise": 0.922640,
    "defocus_blur": 0.819880,
    "glass_blur": 0.826268,
    "motion_blur": 0.785948,
    "zoom_blur": 0.798360,
    "snow": 0.866816,
    "frost": 0.826572,
    "fog": 0.819324,
    "brightness": 0.564592,
    "contrast": 0.853204,
    "elastic_transform": 0.646056,
    "pixelate": 0.717840,
    "jpeg_compression": 0.606500,
}
IMAGENET_VALIDATION = 50_000
"""Images under each corruption and severity of ImageNet-C: a part of them has an mCE of its own."""
_ALL_SEVERITIES = {1, 2, 3, 4, 5}
# Drawn here, photographed there: never in an mCE of generated corruptions.
_NOT_AS_PUBLISHED = {"frost"}


class CorruptionRow(Frozen):
    """One corruption, mean over its severities."""

    name: Name = Field(description="corruption")
    severities: tuple[int, ...] = Field(min_length=1, description="severities measured, 1 to 5")
    accuracy_pct: Percent = Field(description="top-1 accuracy, mean over the severities, percent")
    accuracy_ci95_low_pct: Percent = Field(description="lower end of its 95 % interval, percent")
    accuracy_ci95_high_pct: Percent = Field(description="upper end of its 95 % interval, percent")
    gmacs_mean: Amount = Field(description="mean GMACs an image, mean over the severities")


class CorruptionSummary(Termed):
    """All corruptions of one record that were measured on the same images in the same way.

    The interval of a mean is the mean of the intervals. The same images stand behind all of them, so their errors may
    all go one way; this interval holds then too, and is wider than needed where they do not.
    """

    source: Literal["generated", "pre-computed set"] = Field(
        description="corrupted in memory, or read from a pre-computed set"
    )
    n: int = Field(ge=1, description="images under each corruption and severity")
    images: str | None = Field(
        default=None,
        exclude_if=lambda images: images is None,
        description="which images: a hash of their ids; absent: those that all entries of the board were measured on; "
        "after ?: those of one of the boards that were joined, which does not tell",
    )
    clean_accuracy_pct: Percent | None = Field(description="top-1 accuracy of the same images clean, percent")
    accuracy_pct: Percent = Field(description="mean corruption accuracy: mean over the corruptions, percent")
    accuracy_ci95_low_pct: Percent = Field(description="lower end of its 95 % interval, percent")
    accuracy_ci95_high_pct: Percent = Field(description="upper end of its 95 % interval, percent")
    mce_pct: Amount | None = Field(
        description="mean corruption error against AlexNet's, percent, less is better; null: not ImageNet-1k, or not "
        "all five severities"
    )
    mce_over: tuple[str, ...] = Field(description="corruptions in the mCE; generated ones leave out frost")
    mce_published: bool = Field(
        description="whether it may stand beside published mCEs: ImageNet-C itself, all 15 corruptions of all 50,000 "
        "images"
    )
    gmacs_mean: Amount = Field(description="mean GMACs an image under corruption, mean over the corruptions")
    gmacs_drift_pct: float | None = Field(
        description="how much more that is than the same images cost clean, percent of this"
    )
    corruptions: tuple[CorruptionRow, ...] = Field(min_length=1, description="each corruption, as in the paper's order")

    def terms(self) -> dict[str, str | None]:
        """The images."""
        return {"images": self.images}

    def on_terms(self, terms: Mapping[str, str | None]) -> Self:
        """The same with other images."""
        return self.model_copy(update=dict(terms))


def summary_of(record: Record, results: Sequence[CorruptionResult]) -> CorruptionSummary | None:
    """The record's corruptions, of one set of images: of several the one with most measured, of equals most images."""
    sets: dict[tuple[str, ...], list[CorruptionResult]] = defaultdict(list)
    for measured in results:
        how = str(sorted((name, value) for name, value in measured.settings.items() if name != "plugin"))
        sets[measured.source, how, str(measured.images)].append(measured)
    if not sets:
        return None
    chosen = max(sets.values(), key=lambda variants: (len(variants), variants[0].n))
    by_name: dict[str, list[CorruptionResult]] = defaultdict(list)
    for measured in {(each.corruption, each.severity): each for each in chosen}.values():  # of a plug-in's the last
        by_name[measured.corruption].append(measured)
    rows = tuple(_row(name, by_name[name]) for name in sorted(by_name, key=[*ALEXNET_ERROR, *sorted(by_name)].index))
    source: Literal["generated", "pre-computed set"] = (
        "pre-computed set" if chosen[0].source == PRECOMPUTED else "generated"
    )
    mce, over = mean_corruption_error_of(rows, source) if record.backbone.num_classes == 1000 else (None, ())
    clean = chosen[0].clean_gmacs_mean
    gmacs = _mean([row.gmacs_mean for row in rows])
    return CorruptionSummary(
        source=source,
        n=chosen[0].n,
        images=chosen[0].images,
        clean_accuracy_pct=chosen[0].clean_accuracy_pct,
        accuracy_pct=_mean([row.accuracy_pct for row in rows]),
        accuracy_ci95_low_pct=_mean([row.accuracy_ci95_low_pct for row in rows]),
        accuracy_ci95_high_pct=_mean([row.accuracy_ci95_high_pct for row in rows]),
        mce_pct=mce,
        mce_over=over,
        mce_published=is_published(source, over, chosen[0].n),
        gmacs_mean=gmacs,
        gmacs_drift_pct=100 * (gmacs / clean - 1) if clean else None,
        corruptions=rows,
    )


def is_published(source: str, over: Sequence[str], n: int) -> bool:
    """Whether an mCE is of what published ones are of: ImageNet-C itself, every corruption of every image."""
    return source == PRECOMPUTED and len(over) == len(ALEXNET_ERROR) and n == IMAGENET_VALIDATION


def mean_corruption_error(errors: dict[str, float]) -> float:
    """mCE: each corruption's error as a share of AlexNet's, averaged.

    Units: ``errors`` as shares, mean over the five severities; returns percent. AlexNet itself has 100.
    Source: Hendrycks & Dietterich, 2019, section 3.

    >>> mean_corruption_error(ALEXNET_ERROR)
    100.0
    """
    return 100 * _mean([error / ALEXNET_ERROR[name] for name, error in errors.items()])


def summary_from_version_1(summary: JsonValue) -> JsonObject | None:
    """A summary of version 1 in today's words."""
    if not isinstance(summary, dict):
        return None
    return summary | {"source": GENERATED if summary["source"] == GENERATED else PRECOMPUTED}


def mean_corruption_error_of(rows: Sequence[CorruptionRow], source: str) -> tuple[float | None, tuple[str, ...]]:
    """The mCE of the corruptions that have one, and which these are. Units: percent."""
    left_out = _NOT_AS_PUBLISHED if source == GENERATED else set()
    errors = {
        row.name: 1 - row.accuracy_pct / 100
        for row in rows
        if set(row.severities) == _ALL_SEVERITIES and row.name in ALEXNET_ERROR and row.name not in left_out
    }
    return (mean_corruption_error(errors), tuple(errors)) if errors else (None, ())


def _row(name: str, variants: Sequence[CorruptionResult]) -> CorruptionRow:
    accuracies = [measured.accuracy_pct for measured in variants]
    return CorruptionRow(
        name=name,
        severities=tuple(sorted(measured.severity for measured in variants)),
        accuracy_pct=_mean(accuracies),
        accuracy_ci95_low_pct=_mean([_given(m.accuracy_ci95_low_pct, m.accuracy_pct) for m in variants]),
        accuracy_ci95_high_pct=_mean([_given(m.accuracy_ci95_high_pct, m.accuracy_pct) for m in variants]),
        gmacs_mean=_mean([measured.gmacs_mean for measured in variants]),
    )


def _given(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
