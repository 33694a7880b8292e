"""Robustness: accuracy and compute under attack."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from dynvit.leaderboard.board import Entry, Leaderboard
from dynvit.leaderboard.contradiction import Contradiction
from dynvit.leaderboard.follow_up import from_version_1
from dynvit.leaderboard.record import JsonObject, Record
from dynvit.measurements.base import Measurement
from dynvit.measurements.rederive import Beside
from dynvit.measurements.robustness.result import RENAMED, RobustnessResult
from dynvit.measurements.robustness.settings import RobustnessSettings
from dynvit.measurements.robustness.summary import (
    RobustnessOverview,
    RobustnessSummary,
    robust_fronts,
    summarise,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.table import Table

    from dynvit.leaderboard.axes import Axis


class Robustness(Measurement[RobustnessSettings, RobustnessResult, RobustnessSummary]):
    """Every attack through every variant that a model supports, at a few points of its front."""

    name = "robustness"
    summary = "accuracy and compute under attack, within bounds on the change of pixels"
    measured_by = "dynvit.measurements.robustness.measurer:AttackMeasurer"
    Settings = RobustnessSettings
    Result = RobustnessResult
    Summary = RobustnessSummary
    Overview = RobustnessOverview
    unit = "passes"
    searchable = True
    judgements: ClassVar[frozenset[str]] = frozenset({"masking_signs"})
    higher_is_better: ClassVar[Mapping[str, bool]] = {"accuracy_pct": True, "saving_lost_pct": False}

    @classmethod
    def recognises(cls, config: Mapping[str, Any]) -> bool:
        """By what only its configurations have."""
        return config.get("threat") is None and "attack" in config

    @classmethod
    def upgrade(cls, line: dict[str, Any]) -> dict[str, Any] | None:
        """A line of version 1; corruptions stood in the same file."""
        line = from_version_1(line)
        result = line["result"]
        if result.get("norm") is None:
            return None
        return line | {"result": {RENAMED.get(name, name): value for name, value in result.items()}}

    @classmethod
    def summarise(
        cls, records: Sequence[Record], results: Mapping[str, Sequence[RobustnessResult]]
    ) -> Mapping[str, RobustnessSummary | None]:
        """What attacks leave of each record, and signs that they were misled."""
        return summarise(records, results)

    @classmethod
    def overview(cls, entries: Sequence[Entry], board: Leaderboard) -> RobustnessOverview | None:
        """The fronts of three objectives, one for each radius."""
        fronts = tuple(robust_fronts(entries, board))
        return RobustnessOverview(fronts=fronts) if fronts else None

    @classmethod
    def tables(cls, board: Leaderboard) -> Iterator[Table]:
        """A row an entry that was attacked, a column a radius."""
        from dynvit.measurements.robustness.table import robust_table

        overview = board.overview(cls.name, RobustnessOverview)
        shown = robust_table(board, cls.of(board), overview.fronts if overview else ())
        if shown is not None:
            yield shown

    @classmethod
    def notes(cls, board: Leaderboard) -> Iterator[str]:
        """Whether rows have the same images, attacks and number of attempts; signs of masked gradients, with whose."""
        from dynvit.measurements.robustness.table import notes

        yield from notes(board, cls.of(board))

    @classmethod
    def axes(cls, board: Leaderboard) -> Iterator[Axis]:
        """Accuracy and compute within each ball."""
        from dynvit.measurements.robustness.axes import axes

        return axes(cls.of(board))

    @classmethod
    def figure(cls, board: Leaderboard) -> Figure | None:
        """Accuracy over GMACs, clean and within each ball."""
        from dynvit.measurements.robustness.figure import draw

        overview = board.overview(cls.name, RobustnessOverview)
        return draw(board, cls.of(board), overview.fronts) if overview else None

    @classmethod
    def rows(cls, board: Leaderboard) -> list[dict[str, Any]]:
        """A line for each entry and ball."""
        from dynvit.measurements.robustness.figure import rows

        overview = board.overview(cls.name, RobustnessOverview)
        return rows(board, cls.of(board), overview.fronts) if overview else []

    @classmethod
    def contradictions(cls, result: RobustnessResult, beside: Beside) -> Iterator[Contradiction]:
        """What a line says against itself and its record."""
        from dynvit.measurements.robustness.rederive import of_result

        return of_result(result, beside)

    @classmethod
    def contradictions_on_board(
        cls, summary: RobustnessSummary, entry: Entry, board: Leaderboard
    ) -> Iterator[Contradiction]:
        """What an entry's summary says against itself and the board."""
        from dynvit.measurements.robustness.rederive import of_summary

        return of_summary(summary, entry, board)

    @classmethod
    def entry_from_version_1(cls, entry: JsonObject) -> JsonObject | None:
        """``robust``, ``slowdown`` and ``findings`` of an entry."""
        if not entry.get("robust") and not entry.get("slowdown"):
            return None
        slowdown: Any = entry.get("slowdown") or []
        return {
            "accuracy": entry.get("robust") or [],
            "slowdown": [{RENAMED.get(name, name): value for name, value in one.items()} for one in slowdown],
            "masking_signs": entry.get("findings") or [],
        }

    @classmethod
    def overview_from_version_1(cls, board: JsonObject) -> JsonObject | None:
        """``robust_fronts`` of a board."""
        return {"fronts": board["robust_fronts"]} if board.get("robust_fronts") else None
