"""Speed: time, memory and energy beside the dense backbone in the same run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from dynvit.leaderboard.board import Leaderboard
from dynvit.leaderboard.follow_up import FollowUp, from_version_1
from dynvit.leaderboard.record import JsonObject, Record
from dynvit.measurements.base import MeasuredPoint, Measurement, by_model, choose_points
from dynvit.measurements.speed.result import RENAMED, SpeedResult
from dynvit.measurements.speed.settings import SpeedSettings
from dynvit.measurements.speed.summary import SpeedSummary, shown, speed_curves

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.table import Table

    from dynvit.data.source import ImageSource
    from dynvit.measurements.run import Run
    from dynvit.measurements.speed.measure import SpeedMeter, SpeedShare, SpeedTask
    from dynvit.progress import Progress
    from dynvit.session import Session


class Speed(Measurement[SpeedSettings, "SpeedTask", "SpeedShare", SpeedResult, SpeedSummary]):
    """A few points of each model against the dense backbone, at every batch size."""

    name = "speed"
    summary = "images/s, latency, memory and energy beside the dense backbone"
    Settings = SpeedSettings
    Result = SpeedResult
    Summary = SpeedSummary
    shared = False
    higher_is_better: ClassVar[Mapping[str, bool]] = {
        "speedup": True,
        "speedup_share": True,
        "images_per_s": True,
        "latency_p50_ms": False,
    }

    def __init__(self, settings: SpeedSettings) -> None:
        super().__init__(settings)
        self._meters: dict[int, SpeedMeter] = {}

    def check(self, session: Session, source: ImageSource) -> None:
        """Raises: ``InputError`` for what would spoil the timings, or cannot be done on this machine."""
        from dynvit.measurements.speed.checking import check_speed

        check_speed(self.settings, session.device)

    def plan(self, session: Session, source: ImageSource) -> Iterator[str]:
        """What is timed, and how."""
        settings = self.settings
        sizes = ", ".join(map(str, sorted(set(settings.batches))))
        compiled = ", compiled" if settings.compile else ""
        yield (
            f"speed: {settings.points} points of each model, {settings.rounds} rounds at batch {sizes}, "
            f"{settings.dtype}{compiled}"
        )

    def tasks(self, points: Sequence[MeasuredPoint], run: Run) -> list[SpeedTask]:
        """Every batch size of a few points of each model."""
        chosen = [at for own in by_model(points) for at in choose_points(own, self.settings.points)]
        return list(self._meter(run).tasks(chosen))

    def measure(
        self, tasks: Sequence[SpeedTask], run: Run, progress: Progress
    ) -> Iterator[tuple[SpeedTask, SpeedShare]]:
        """Each batch size, as it is done."""
        return self._meter(run).measure(tasks, progress)

    def result(self, task: SpeedTask, share: SpeedShare, run: Run) -> SpeedResult:
        """What is written of a timing."""
        return self._meter(run).result(share.timing)

    def done(self, line: FollowUp[SpeedResult]) -> bool:
        """A line with fewer valid rounds than are asked for is measured again: the machine was busy."""
        return line.result is None or (line.result.rounds_valid or 0) >= self.settings.rounds

    def better(self, task: SpeedTask, share: SpeedShare, line: FollowUp[SpeedResult]) -> bool:
        """Where the machine is quieter now, the new line stands in the place of the old."""
        return line.result is None or len(share.timing.comparison.valid) > (line.result.rounds_valid or 0)

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

    def _meter(self, run: Run) -> SpeedMeter:
        from dynvit.measurements.speed.measure import SpeedMeter

        return self._meters.setdefault(id(run), SpeedMeter(self.settings, run))
