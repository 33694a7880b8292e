"""What of a corruption's line, and of a record's corruptions in a board, follows from the rest."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import mean

from dynvit.leaderboard.board import Entry, Leaderboard
from dynvit.leaderboard.contradiction import Contradiction, between, equal, share_of_images
from dynvit.measurements.corruption.result import GENERATED, CorruptionResult
from dynvit.measurements.corruption.summary import (
    CorruptionRow,
    CorruptionSummary,
    is_published,
    mean_corruption_error_of,
)
from dynvit.measurements.rederive import Beside, of_images

_MEANS = ("accuracy_pct", "accuracy_ci95_low_pct", "accuracy_ci95_high_pct", "gmacs_mean")


def of_result(result: CorruptionResult, beside: Beside) -> Iterator[Contradiction]:
    """What the configuration says, and what the images say."""
    config = beside.config
    for at, key in (("corruption", "attack"), ("severity", "severity")):
        yield from equal(at, getattr(result, at), config.get(key), "config")
    generated = config.get("source") == GENERATED
    yield from equal("source", result.source == GENERATED, generated, "config")
    for name, value in result.settings.items():
        yield from equal(f"settings.{name}", value, config.get(name), "config")
    yield from of_images(result, beside)


def of_summary(summary: CorruptionSummary, entry: Entry, board: Leaderboard) -> Iterator[Contradiction]:
    """Within a board: means over the corruptions, mCE, and what drift makes of the compute."""
    rows = summary.corruptions
    for at in _MEANS:
        value = mean(getattr(row, at) for row in rows)
        yield from equal(at, getattr(summary, at), value, f"mean over {len(rows)} corruptions")
    yield from share_of_images("clean_accuracy_pct", summary.clean_accuracy_pct, summary.n)
    for place, row in enumerate(rows):
        for found in _of_row(row, summary.n):
            yield found.within(f"corruptions.{place}")
    mce, over = mean_corruption_error_of(rows, summary.source) if board.setting.num_classes == 1000 else (None, ())
    yield from equal("mce_pct", summary.mce_pct, mce, "of the corruptions' errors")
    yield from equal("mce_over", summary.mce_over, over, "corruptions at all five severities")
    published = is_published(summary.source, over, summary.n)
    yield from equal("mce_published", summary.mce_published, published, "all images and corruptions of ImageNet-C")


def _of_row(row: CorruptionRow, n: int) -> Iterator[Contradiction]:
    yield from share_of_images("accuracy_pct", row.accuracy_pct, n * len(row.severities))
    ends = row.accuracy_ci95_low_pct, row.accuracy_ci95_high_pct
    yield from between("accuracy_pct", row.accuracy_pct, *ends, "its interval")
