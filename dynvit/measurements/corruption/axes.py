"""Corruption as axes of a picture: what all come to, and accuracy under each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dynvit.leaderboard.axes import Axis, Reading, decimals_for
from dynvit.measurements.corruption.summary import CorruptionSummary

_GROUP = "under corruption"


def axes(summaries: Mapping[str, CorruptionSummary]) -> Iterator[Axis]:
    """Mean accuracy, mCE, compute and its drift over all corruptions, then accuracy under each one."""
    accuracy = {
        key: Reading(one.accuracy_pct, one.accuracy_ci95_low_pct, one.accuracy_ci95_high_pct)
        for key, one in summaries.items()
    }
    if accuracy:
        label = "accuracy under corruption, mean, percent"
        yield Axis("corruption.accuracy_pct", "corrupted %", label, accuracy, _GROUP, column=True)
    for field, heading, label in (
        ("mce_pct", "mCE %", "mean corruption error against AlexNet's, percent"),
        ("gmacs_mean", "GMACs, corrupted", "GMACs an image under corruption, mean"),
        ("gmacs_drift_pct", "drift %", "GMACs more under corruption than clean, percent"),
    ):
        values = {key: getattr(one, field) for key, one in summaries.items()}
        readings = {key: Reading(value) for key, value in values.items() if value is not None}
        if readings:
            places = decimals_for(readings.values())
            yield Axis(f"corruption.{field}", heading, label, readings, _GROUP, False, places, field == "mce_pct")
    for name in dict.fromkeys(row.name for one in summaries.values() for row in one.corruptions):
        readings = {
            key: Reading(row.accuracy_pct, row.accuracy_ci95_low_pct, row.accuracy_ci95_high_pct)
            for key, one in summaries.items()
            for row in one.corruptions
            if row.name == name
        }
        said = name.replace("_", " ")
        family = "accuracy under each corruption, percent"
        label = f"accuracy under {said}, percent"
        yield Axis(f"corruption.{name}.accuracy_pct", said, label, readings, _GROUP, family=family, at=said)
