"""The bench itself: models, points, measurements, the published front."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dynvit.benchmark.choosing import points_of
from dynvit.benchmark.config import BenchConfig
from dynvit.benchmark.identity import check, claimed
from dynvit.benchmark.prepare import Preparation, prepare
from dynvit.data import ImageSource
from dynvit.interface import OperatingPoint
from dynvit.leaderboard.place import BOARD
from dynvit.measurements.accuracy.measure import Recorder
from dynvit.measurements.base import Measurement, measurements
from dynvit.measurements.run import Run
from dynvit.measurements.runner import Runner
from dynvit.measurements.task import MeasuredPoint
from dynvit.progress import Progress
from dynvit.report import Board, build_board, read_run, write_pictures
from dynvit.session import OpenModel, Session, open_session


@dataclass(frozen=True)
class Bench:
    """A bench that is ready to run: everything that a person could have got wrong has been checked.

    ``command`` is what the records say made them; ``point`` the one to measure, in place of a sweep.
    """

    config: BenchConfig
    command: str
    folder: Path
    session: Session
    source: ImageSource
    preparation: Preparation
    measurements: Sequence[Measurement[Any, Any, Any]]
    point: OperatingPoint | None = None

    @classmethod
    def plan(cls, config: BenchConfig, command: str, point: OperatingPoint | None = None) -> Bench:
        """Check the configuration, the data and the folder; nothing is written.

        Raises: ``InputError`` for whatever is wrong with them.
        """
        session = open_session(config)
        asked = [measurements.get(name)(settings) for name, settings in config.measurements.items()]
        source = session.split(limit=config.limit)
        for measurement in asked:
            measurement.measurer.check(session, source)
        preparation = prepare(config, session, asked)
        folder = check(config, session)
        return cls(config, command, folder, session, source, preparation, asked, point)

    def run(self) -> Board:
        """Train what needs training, sweep every model, measure, publish. Continues what a killed run began.

        Raises: ``InputError`` where another process writes into the folder.
        """
        config = self.config
        run = Run.of(
            self.session,
            self.source,
            self.folder,
            self.command,
            limit=config.limit,
            batch_size=config.batch_size,
            workers=config.workers,
            memory_mb=config.memory_mb,
            disk_mb=config.disk_mb,
        )
        with claimed(self.folder, config, self.session) if run.first else nullcontext():
            return self._run(run)

    def _run(self, run: Run) -> Board:
        run.state.wait_for_everyone()
        models = self.preparation.models(self.folder, self.command)
        recorder = Recorder.of(run)
        with recorder.lines.writing():
            points = self._followed(self._sweep(models, recorder))
            for measurement in self.measurements:
                Runner(measurement, run).carry_out(points)
                run.forget_pixels()
            run.state.wait_for_everyone()  # what the others read is on the disk
            return self._publish(write=run.first)

    def _sweep(self, models: Sequence[OpenModel], recorder: Recorder) -> list[MeasuredPoint]:
        """Measure what is missing. Returns every point, model by model."""
        run = recorder.run
        for opened in models:
            opened.model.eval().to(run.device)
        plan = points_of(self.config, models, recorder, self.measurements, self.point)
        todo = sum(len(recorder.missing(one, plan[one.label])) * recorder.images(one) for one in models)
        with Progress("sweep", todo, quiet=not run.first) as progress:
            return [point for one in models for point in recorder.measure(one, plan[one.label], progress)]

    def _followed(self, points: Sequence[MeasuredPoint]) -> list[MeasuredPoint]:
        """The points that may be measured further: of several seeds, those of the first one's trainings."""
        seeds = self.config.seeds
        return [point for point in points if not seeds or point.opened.training_seed in (None, seeds[0])]

    def _publish(self, *, write: bool) -> Board:
        board = build_board(read_run(self.folder), command=self.command)
        if write:
            board.write(self.folder / BOARD)
            write_pictures(board, self.folder)
        return board
