"""What measures corruptions: every point of every model under each corruption and severity."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dynvit.data.source import ImageSource
from dynvit.measurements.corruption.images import CorruptedImages
from dynvit.measurements.corruption.measure import CorruptionRun, CorruptionShare, CorruptionTask, result_of, tasks_of
from dynvit.measurements.corruption.result import CorruptionResult
from dynvit.measurements.corruption.settings import CorruptionSettings
from dynvit.measurements.measurer import Measurer
from dynvit.measurements.run import Run
from dynvit.measurements.task import MeasuredPoint
from dynvit.progress import Progress
from dynvit.session import Session


class CorruptionMeasurer(Measurer[CorruptionSettings, CorruptionTask, CorruptionShare, CorruptionResult]):
    """Opens the images once, and evaluates points on them."""

    def __init__(self, settings: CorruptionSettings) -> None:
        super().__init__(settings)
        self._opened: dict[str, CorruptedImages] = {}

    def check(self, session: Session, source: ImageSource) -> None:
        """Raises: ``InputError`` for a pre-computed set that is not whole."""
        self._images(source, session)

    def plan(self, session: Session, source: ImageSource) -> Iterator[str]:
        """Which corruptions, on how many images."""
        settings = self.settings
        severities = ", ".join(map(str, settings.severities))
        where = f"read from {settings.folder}" if settings.folder else "made in memory"
        count = len(self._images(source, session).drawn)
        yield f"corruptions: {len(settings.corruptions)} at severity {severities}, {count:,} images, {where}"

    def images_through(self, session: Session, source: ImageSource, points: int) -> float:
        """Every image under every corruption and severity."""
        return (
            points
            * len(self._images(source, session).drawn)
            * len(self.settings.corruptions)
            * len(self.settings.severities)
        )

    def tasks(self, points: Sequence[MeasuredPoint], run: Run) -> Iterator[CorruptionTask]:
        """Every point under every corruption and severity."""
        return tasks_of(self._images(run.source, run.session), points, run)

    def measure(
        self, tasks: Sequence[CorruptionTask], run: Run, progress: Progress
    ) -> Iterator[tuple[CorruptionTask, CorruptionShare]]:
        """This process's share of each task, and of the clean images."""
        return CorruptionRun(self._images(run.source, run.session), run).measure(tasks, progress)

    def result(self, task: CorruptionTask, share: CorruptionShare, run: Run) -> CorruptionResult:
        """What is written of a task."""
        return result_of(task, share, self._images(run.source, run.session), run)

    def estimate(self, tasks: Sequence[CorruptionTask], run: Run) -> str:
        """How many, and about how long."""
        return CorruptionRun(self._images(run.source, run.session), run).estimate(tasks)

    def _images(self, source: ImageSource, session: Session) -> CorruptedImages:
        key = source.manifest.sha256
        if key not in self._opened:
            self._opened[key] = CorruptedImages.open(self.settings, source, session.data_seed)
        return self._opened[key]
