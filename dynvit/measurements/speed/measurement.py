"""Speed: time, memory and energy beside the dense backbone in the same run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from dynvit.leaderboard.board import Entry, Leaderboard
from dynvit.leaderboard.contradiction import Contradiction
from dynvit.leaderboard.follow_up import from_version_1
from dynvit.leaderboard.record import JsonObject, Record
from dynvit.measurements.base import Measurement
from dynvit.measurements.rederive import Beside
from dynvit.measurements.speed.result import RENAMED, SpeedResult
from dynvit.measurements.speed.settings import SpeedSettings
from dynvit.measurements.speed.summary import SpeedSummary, shown, speed_curves

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.table import Table

    from dynvit.leaderboard.axes import Axis


class Speed(Measurement[SpeedSettings, SpeedResult, SpeedSummary]):
    """A few points of each model against the dense backbone, at every batch size."""

    name = "speed"
    summary = "images/s, latency, memory and energy beside the dense backbone"
    measured_by = "dynvit.measurements.speed.measurer:SpeedMeasurer"
    Settings = SpeedSettings
    Result = SpeedResult
    Summary = SpeedSummary
    shared = False
    repeats = False
    higher_is_better: ClassVar[Mapping[str, bool]] = {
        "speedup": True,
        "speedup_share": True,
        "images_per_s": True,
        "latency_p50_ms": False,
    }

    @classmethod
    def recognises(cls, config: Mapping[str, Any]) -> bool:
        """By what only its configurations have."""
        return "batch_size" in config

    @classmethod
    def upgrade(cls, line: dict[str, Any]) -> dict[str, Any]:
        """A line of version 1."""
        line = from_version_1(line)
        return line | {"result": {RENAMED.get(name, name): value for name, value in line["result"].items()}}

    @classmethod
    def summary_of(cls, record: Record, results: Sequence[SpeedResult]) -> SpeedSummary | None:
        """A curve over the batch size for each device and way."""
        return SpeedSummary(curves=speed_curves(results))

    @classmethod
    def tables(cls, board: Leaderboard) -> Iterator[Table]:
        """A row an entry that was timed."""
        from dynvit.measurements.speed.table import speed_table

        shown_table = speed_table(board, cls.of(board))
        if shown_table is not None:
            yield shown_table

    @classmethod
    def axes(cls, board: Leaderboard) -> Iterator[Axis]:
        """Speed, latency and speed-up at each batch size."""
        from dynvit.measurements.speed.axes import axes

        return axes(cls.of(board))

    @classmethod
    def figure(cls, board: Leaderboard) -> Figure | None:
        """Realised beside theoretical speed-up over the batch size, a panel a method."""
        from dynvit.measurements.speed.figure import draw

        summaries = cls.of(board)
        chosen = shown(summaries)
        return None if chosen is None else draw(board, summaries, chosen[0])

    @classmethod
    def rows(cls, board: Leaderboard) -> list[dict[str, Any]]:
        """A line for each timing, those of other devices and types too."""
        from dynvit.measurements.speed.figure import rows

        return rows(board, cls.of(board))

    @classmethod
    def contradictions(cls, result: SpeedResult, beside: Beside) -> Iterator[Contradiction]:
        """What a line says against itself and its record."""
        from dynvit.measurements.speed.rederive import of_line

        return of_line(result, beside)

    @classmethod
    def contradictions_on_board(
        cls, summary: SpeedSummary, entry: Entry, board: Leaderboard
    ) -> Iterator[Contradiction]:
        """What an entry's summary says against itself and the board."""
        from dynvit.measurements.speed.rederive import of_summary

        return of_summary(summary, entry, board)

    @classmethod
    def entry_from_version_1(cls, entry: JsonObject) -> JsonObject | None:
        """``speed`` of an entry."""
        curves: Any = entry.get("speed")
        if not curves:
            return None
        renamed = [
            curve
            | {"sizes": [{RENAMED.get(name, name): value for name, value in size.items()} for size in curve["sizes"]]}
            for curve in curves
        ]
        return {"curves": renamed}
