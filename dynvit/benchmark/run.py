"""The bench itself: models, points, measurements, the published front."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

from dynvit.benchmark.choosing import Searches, StudyCopy, points_of
from dynvit.benchmark.config import BenchConfig
from dynvit.benchmark.identity import check, check_records, claimed, identity
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

NO_COPIES: Mapping[str, StudyCopy] = MappingProxyType({})


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
        folder = check(config, session, source)
        made = cls(config, command, folder, session, source, preparation, asked, point)
        made.searches.check()
        return made

    @property
    def shares_budgets(self) -> bool:
        """Whether the budgets depend on what is feasible for every model."""
        return self.config.sampler == "budgets" and not self.config.budgets and self.point is None

    @cached_property
    def identity(self) -> Mapping[str, Any]:
        """All that its records depend on; weights are hashed for it, once."""
        return identity(self.config, self.session)

    @cached_property
    def searches(self) -> Searches:
        """Those of its models, where it searches."""
        return Searches(self.config, self.session, self.preparation, self.folder, self.measurements)

    def run(self) -> Board:
        """Train what needs training, sweep every model, measure, publish. Continues what a killed run began.

        Raises: ``InputError`` where another process writes into the folder, and for a storage that cannot be written.
        """
        run = self.within(self.folder)
        copies = self.searches.copies() if run.first else {}
        with claimed(self.folder, self.config, self.session, self.source) if run.first else nullcontext():
            run.state.wait_for_everyone()
            models = self.models(run)
            recorder = Recorder.of(run)
            with recorder.lines.writing():
                points = self.sweep(models, recorder, copies=copies)
                for measurement in self.measurements:
                    Runner(measurement, run).carry_out(self.followed(points))
                    run.forget_pixels()
                run.state.wait_for_everyone()  # what the others read is on the disk
                return self.publish(self.folder, write=run.first)

    def models(self, run: Run, labels: Collection[str] | None = None) -> list[OpenModel]:
        """Every model, or those of the ``labels``, trained where it is to be: those that the run's records are of.

        Raises: ``InputError`` where the run's folder has records of an earlier training.
        """
        models = self.preparation.models(self.folder, self.command, labels)
        if run.first:
            check_records(run.folder, models)
        return models

    def within(self, folder: Path) -> Run:
        """A run over the reported images, into a folder."""
        config = self.config
        return Run.of(
            self.session,
            self.source,
            folder,
            self.command,
            limit=config.limit,
            batch_size=config.batch_size,
            workers=config.workers,
            memory_mb=config.memory_mb,
            disk_mb=config.disk_mb,
        )

    def sweep(
        self,
        models: Sequence[OpenModel],
        recorder: Recorder,
        common: Sequence[float] | None = None,
        copies: Mapping[str, StudyCopy] = NO_COPIES,
    ) -> list[MeasuredPoint]:
        """Measure what is missing. Returns every point, model by model.

        Args:
            models: that are measured.
            recorder: what they are measured by.
            common: the budgets of all models, where these are not all; MACs an image.
            copies: the studies of their searches in a storage, by label.
        """
        run = recorder.run
        for opened in models:
            opened.model.eval().to(run.device)
        plan = points_of(self.searches, models, recorder, self.point, common, copies)
        todo = sum(len(recorder.missing(one, plan[one.label])) * recorder.images(one) for one in models)
        with Progress("sweep", todo, quiet=not run.first) as progress:
            return [point for one in models for point in recorder.measure(one, plan[one.label], progress)]

    def followed(self, points: Sequence[MeasuredPoint]) -> list[MeasuredPoint]:
        """The points that may be measured further: of several seeds, those of the first one's trainings."""
        return [point for point in points if self.follows(point.opened.training_seed)]

    def follows(self, seed: int | None) -> bool:
        """Whether a model whose training had this seed is measured further; None: it had none."""
        seeds = self.config.seeds
        return not seeds or seed in (None, seeds[0])

    def publish(self, folder: Path, *, write: bool) -> Board:
        """The board of what lies in a folder."""
        board = build_board(read_run(folder), command=self.command)
        if write:
            board.write(folder / BOARD)
            write_pictures(board, folder)
        return board
