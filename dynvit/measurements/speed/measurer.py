"""What measures speed: a few points of each model against the dense backbone, at every batch size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dynvit.data.source import ImageSource
from dynvit.leaderboard.follow_up import FollowUp
from dynvit.measurements.measurer import Measurer
from dynvit.measurements.run import Run
from dynvit.measurements.speed.checking import check_speed
from dynvit.measurements.speed.measure import SpeedMeter, SpeedShare, SpeedTask
from dynvit.measurements.speed.result import SpeedResult
from dynvit.measurements.speed.settings import SpeedSettings
from dynvit.measurements.task import MeasuredPoint, by_model, choose_points
from dynvit.progress import Progress
from dynvit.session import Session


class SpeedMeasurer(Measurer[SpeedSettings, SpeedTask, SpeedShare, SpeedResult]):
    """One process times; what it keeps of a run (images on the device, the dense model) it keeps for all points."""

    def __init__(self, settings: SpeedSettings) -> None:
        super().__init__(settings)
        self._meters: dict[int, SpeedMeter] = {}

    def check(self, session: Session, source: ImageSource) -> None:
        """Raises: ``InputError`` for what would spoil the timings, or cannot be done on this machine."""
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

    def images_through(self, session: Session, source: ImageSource, points: int) -> None:
        """Nobody can tell: rounds are repeated until enough are valid."""

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

    def _meter(self, run: Run) -> SpeedMeter:
        return self._meters.setdefault(id(run), SpeedMeter(self.settings, run))
