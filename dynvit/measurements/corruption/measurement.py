"""Corruption: accuracy and compute under common corruptions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from dynvit.leaderboard.board import Entry, Leaderboard
from dynvit.leaderboard.contradiction import Contradiction
from dynvit.leaderboard.follow_up import FollowUp
from dynvit.leaderboard.follow_up import from_version_1 as frame_from_version_1
from dynvit.leaderboard.lines import LineStore
from dynvit.leaderboard.record import JsonObject, Record
from dynvit.measurements.base import Measurement
from dynvit.measurements.corruption.result import CorruptionResult, from_version_1
from dynvit.measurements.corruption.settings import CorruptionSettings
from dynvit.measurements.corruption.summary import CorruptionSummary, summary_from_version_1, summary_of
from dynvit.measurements.rederive import Beside

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.table import Table

    from dynvit.leaderboard.axes import Axis


class Corruption(Measurement[CorruptionSettings, CorruptionResult, CorruptionSummary]):
    """Every point of every model under each corruption and severity."""

    name = "corruption"
    summary = "accuracy and compute under common corruptions: noise, blur, weather, digital"
    measured_by = "dynvit.measurements.corruption.measurer:CorruptionMeasurer"
    Settings = CorruptionSettings
    Result = CorruptionResult
    Summary = CorruptionSummary
    higher_is_better: ClassVar[Mapping[str, bool]] = {"accuracy_pct": True, "mce_pct": False, "gmacs_drift_pct": False}

    @classmethod
    def recognises(cls, config: Mapping[str, Any]) -> bool:
        """By what only its configurations have."""
        return config.get("threat") == "corruption"

    @classmethod
    def stores(cls, folder: Path) -> Sequence[LineStore[FollowUp[CorruptionResult]]]:
        """Its own file; and that of attacks, where version 1 wrote its lines."""
        among_attacks: LineStore[FollowUp[CorruptionResult]] = LineStore(
            folder / "robustness.jsonl", FollowUp[CorruptionResult], upgrade=_among_attacks, current=False
        )
        return [among_attacks, *super().stores(folder)]

    @classmethod
    def summary_of(cls, record: Record, results: Sequence[CorruptionResult]) -> CorruptionSummary | None:
        """What a record's corruptions come to."""
        return summary_of(record, results)

    @classmethod
    def notes(cls, board: Leaderboard) -> Iterator[str]:
        """Whether the rows are of the same corruptions, severities and images."""
        from dynvit.measurements.corruption.table import unequal_sets

        yield from unequal_sets(cls.of(board))

    @classmethod
    def tables(cls, board: Leaderboard) -> Iterator[Table]:
        """A row an entry that was measured."""
        from dynvit.measurements.corruption.table import corruption_table

        shown = corruption_table(board, cls.of(board))
        if shown is not None:
            yield shown

    @classmethod
    def axes(cls, board: Leaderboard) -> Iterator[Axis]:
        """Accuracy and compute under corruption, and accuracy under each."""
        from dynvit.measurements.corruption.axes import axes

        return axes(cls.of(board))

    @classmethod
    def figure(cls, board: Leaderboard) -> Figure | None:
        """Mean accuracy over GMACs, and each corruption at one budget."""
        from dynvit.measurements.corruption.figure import draw

        summaries = cls.of(board)
        return draw(board, summaries) if summaries else None

    @classmethod
    def rows(cls, board: Leaderboard) -> list[dict[str, Any]]:
        """A line for each entry and corruption."""
        from dynvit.measurements.corruption.table import rows

        return rows(board, cls.of(board))

    @classmethod
    def contradictions(cls, result: CorruptionResult, beside: Beside) -> Iterator[Contradiction]:
        """What a line says against itself and its record."""
        from dynvit.measurements.corruption.rederive import of_result

        return of_result(result, beside)

    @classmethod
    def contradictions_on_board(
        cls, summary: CorruptionSummary, entry: Entry, board: Leaderboard
    ) -> Iterator[Contradiction]:
        """What an entry's summary says against itself and the board."""
        from dynvit.measurements.corruption.rederive import of_summary

        return of_summary(summary, entry, board)

    @classmethod
    def entry_from_version_1(cls, entry: JsonObject) -> JsonObject | None:
        """``corruption`` of an entry."""
        return summary_from_version_1(entry.get("corruption"))


def _among_attacks(line: dict[str, Any]) -> dict[str, Any] | None:
    line = frame_from_version_1(line)
    result = from_version_1(line["result"])
    return None if result is None else line | {"result": result}
