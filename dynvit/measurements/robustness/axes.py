"""Robustness as axes of a picture: accuracy, compute and the saving lost within each ball."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dynvit.leaderboard.axes import Axis, Reading, decimals_for
from dynvit.measurements.robustness.summary import RobustnessSummary, SlowdownEntry
from dynvit.measurements.robustness.table import radius

_GROUP = "under attack"


def axes(summaries: Mapping[str, RobustnessSummary]) -> Iterator[Axis]:
    """Columns are accuracy at every radius, and the saving lost at the largest."""
    yield from _accuracy(summaries)
    for kept in (False, True):
        slowed = [slow for one in summaries.values() for slow in one.slowdown if slow.keep_label == kept]
        balls = sorted({(slow.norm, slow.eps) for slow in slowed})
        for norm, eps in balls:
            found = {
                key: slow
                for key, one in summaries.items()
                for slow in one.slowdown
                if (slow.norm, slow.eps, slow.keep_label) == (norm, eps, kept)
            }
            yield from _slowdown(found, norm, eps, last=(norm, eps) == balls[-1])


def _accuracy(summaries: Mapping[str, RobustnessSummary]) -> Iterator[Axis]:
    for norm, eps in sorted({(robust.norm, robust.eps) for one in summaries.values() for robust in one.accuracy}):
        readings = {
            key: Reading(robust.accuracy_pct, robust.ci95_low_pct, robust.ci95_high_pct)
            for key, one in summaries.items()
            for robust in one.accuracy
            if (robust.norm, robust.eps) == (norm, eps)
        }
        ball = radius(norm, eps)
        yield Axis(
            key=f"robustness.accuracy_pct.{norm}.{eps:.6g}",
            heading=f"robust % {ball}",
            label=f"robust accuracy at {ball}, percent",
            readings=readings,
            group=_GROUP,
            column=True,
            family=f"robust accuracy over the radius, {_unit(norm)}, percent",
            at=_in_unit(norm, eps),
        )


def _slowdown(found: Mapping[str, SlowdownEntry], norm: str, eps: float, *, last: bool) -> Iterator[Axis]:
    ball, kept = radius(norm, eps), any(slow.keep_label for slow in found.values())
    how = ", answer kept" if kept else ""
    for field, heading, said in (
        ("gmacs_mean", "GMACs", "GMACs an image under attack"),
        ("saving_lost_pct", "saving lost %", "saving lost under attack, percent"),
    ):
        values = {key: getattr(slow, field) for key, slow in found.items()}
        readings = {key: Reading(value) for key, value in values.items() if value is not None}
        if readings:
            yield Axis(
                key=f"robustness.{field}.{norm}.{eps:.6g}{'.kept' if kept else ''}",
                heading=f"{heading} {ball}{how}",
                label=f"{said}, {ball}{how}",
                readings=readings,
                group=_GROUP,
                higher_is_better=False,
                decimals=decimals_for(readings.values()),
                column=last and not kept and field == "saving_lost_pct",
                family=f"{said} over the radius, {_unit(norm)}{how}",
                at=_in_unit(norm, eps),
            )


def _unit(norm: str) -> str:
    return "L∞ in 255ths" if norm == "linf" else "L2"


def _in_unit(norm: str, eps: float) -> float:
    return float(f"{255 * eps if norm == 'linf' else eps:.3g}")
