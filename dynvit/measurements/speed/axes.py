"""Speed as axes of a picture: one for each way of timing, batch size and number."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dynvit.leaderboard.axes import Axis, Reading, decimals_for
from dynvit.measurements.speed.result import SpeedResult
from dynvit.measurements.speed.summary import SpeedSummary, conditions, shown, timing_at

_NUMBERS = (
    ("images_per_s", "images/s", True),
    ("latency_p50_ms", "latency p50, ms a batch", False),
    ("speedup", "speed-up over dense", True),
)


def axes(summaries: Mapping[str, SpeedSummary]) -> Iterator[Axis]:
    """Throughput, latency and speed-up. Columns are of the conditions that most entries have: throughput at the batch
    size that one table shows, latency at the smallest."""
    chosen = shown(summaries)
    ways = {conditions(curve) for summary in summaries.values() for curve in summary.curves}
    for where in sorted(ways, key=lambda way: (chosen is None or way != chosen[0], str(way))):
        curves = (curve for summary in summaries.values() for curve in summary.curves if conditions(curve) == where)
        sizes = sorted({timing.batch_size for curve in curves for timing in curve.sizes})
        for field, label, better in _NUMBERS:
            for size in sizes:
                timings = {key: timing_at(summary, where, size) for key, summary in summaries.items()}
                readings = {key: found for key, timing in timings.items() if (found := _reading(timing, field))}
                if not readings:
                    continue
                at = {"images_per_s": chosen and chosen[1], "latency_p50_ms": sizes[0]}.get(field)
                yield Axis(
                    key=f"speed.{field}.{size}.{where}",
                    heading=f"{label.partition(',')[0]}, batch {size}",
                    label=f"{label}, batch {size}",
                    readings=readings,
                    group=f"speed on {where}",
                    higher_is_better=better,
                    decimals=decimals_for(readings.values()),
                    column=chosen is not None and where == chosen[0] and size == at,
                    family=f"{label} over the batch size, {where}",
                    at=size,
                )


def _reading(timing: SpeedResult | None, field: str) -> Reading | None:
    value = None if timing is None else getattr(timing, field)
    if timing is None or value is None:
        return None
    return Reading(value, timing.speedup_low, timing.speedup_high) if field == "speedup" else Reading(value)
