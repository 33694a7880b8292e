"""A part of a bench, a share or a cell, done into a folder of its own; ``dynvit merge`` joins the folders."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf
from pathlib import Path

from dynvit.benchmark.cells import ACCURACY, BUDGETS, SEARCH, TRAIN, BenchShare, Cell, cells_of, statics
from dynvit.benchmark.common import common_budgets
from dynvit.benchmark.config import TRAINED
from dynvit.benchmark.done import folder_of_cell, is_done, mark_done
from dynvit.benchmark.identity import claim_shared, claimed
from dynvit.benchmark.run import Bench
from dynvit.benchmark.taking_over import leave_nothing, take_over
from dynvit.benchmark.trial import measure_trial
from dynvit.benchmark.versions import same_versions
from dynvit.benchmark.waiting import told
from dynvit.files import is_held
from dynvit.measurements.accuracy.measure import Recorder
from dynvit.measurements.run import Run
from dynvit.measurements.runner import Runner
from dynvit.report import Board


@dataclass(frozen=True)
class Part:
    """Some cells of a bench. ``folder`` is where their lines go; ``known`` are folders whose records are taken over."""

    bench: Bench
    cells: tuple[Cell, ...]
    folder: Path
    known: tuple[Path, ...] = ()

    def run(self) -> Board | None:
        """Do what is missing. Returns the board of the part; None where nothing of it is measured.

        What other parts need as well is done once: who comes later waits for it, or finds it.
        Raises: as ``Bench.run``.
        """
        run = self.bench.within(self.folder)
        if run.first:
            claim_shared(self.bench.folder, self.bench.config, self.bench.session, self.bench.source)
            same_versions(self.bench)
        run.state.wait_for_everyone()
        self._train()
        self._do_trials_before()
        measured = any(cell.measures for cell in self.cells)
        common = None
        if measured or any(cell.kind == BUDGETS for cell in self.cells):
            common = common_budgets(self.bench, run)
        if not measured:
            self._leave_nothing(run)
            return None
        with self._claimed(run):
            run.state.wait_for_everyone()
            trials = [cell for cell in self.cells if cell.kind == SEARCH]
            for cell in trials:
                measure_trial(self.bench, cell, run)
            board = self._measure(run, common) if len(trials) < len(self.cells) else None
            if run.first:
                for cell in self.cells:
                    mark_done(self.bench, cell, self.folder)
            return board

    def _measure(self, run: Run, common: Sequence[float] | None) -> Board:
        bench = self.bench
        models = bench.models(run, self._labels())
        recorder = Recorder.of(run)
        with recorder.lines.writing():
            points = bench.followed(bench.sweep(models, recorder, common))
            for measurement in bench.measurements:
                labels = {cell.label for cell in self.cells if cell.kind == measurement.name}
                if labels:
                    Runner(measurement, run).carry_out(points, labels)
                    run.forget_pixels()
            run.state.wait_for_everyone()
            return bench.publish(self.folder, write=run.first)

    def _labels(self) -> set[str]:
        """The models that are opened: those that are measured, and the static ones that these are held against."""
        own = {cell.label for cell in self.cells if cell.measures}
        followed = any(cell.measures and cell.kind not in (SEARCH, ACCURACY) for cell in self.cells)
        return own | ({one.label for one in statics(self.bench)} if followed else set())

    def _train(self) -> None:
        """This part's trainings first, then those that nobody is at, then those that others have not finished."""
        bench, own = self.bench, {cell.label for cell in self.cells if cell.kind == TRAIN}
        planned = [one for one in bench.preparation.planned if one.trained]
        if not (bench.shares_budgets and any(cell.kind != TRAIN for cell in self.cells)):
            planned = [one for one in planned if one.label in own | self._labels()]
        if not planned and bench.preparation.start not in own:
            return
        backbone = bench.preparation.started(bench.folder, bench.command)
        training = bench.folder / TRAINED
        waiting = sorted(planned, key=lambda one: one.label not in own)
        for one in sorted(waiting, key=lambda one: is_held(training / one.label)):
            if not is_held(training / one.label):
                bench.preparation.train(one, backbone, training, bench.command)
        for one in waiting:
            bench.preparation.train(one, backbone, training, bench.command)

    @contextmanager
    def _claimed(self, run: Run) -> Iterator[None]:
        """The part's folder for this process, after whoever has it; with the records that are known elsewhere."""
        if not run.first:
            yield
            return
        waits = told("the results in", self.folder)
        with claimed(self.folder, self.bench.config, self.bench.session, self.bench.source, inf, waits):
            take_over(self.bench, self.known, self.folder)
            yield

    def _do_trials_before(self) -> None:
        """Those of the batches before a trial's, where nobody has measured them: the first ones first."""
        for own in [cell for cell in self.cells if cell.kind == SEARCH]:
            earlier = [cell for cell in cells_of(self.bench) if cell.kind == SEARCH and cell.label == own.label]
            needed = [number for number, cell in enumerate(earlier) if cell.name in own.needs]
            for cell in earlier[: max(needed, default=-1) + 1]:
                if not is_done(self.bench, cell):
                    cell_part(self.bench, cell).run()

    def _leave_nothing(self, run: Run) -> None:
        """A share of more shares than models has a folder all the same, which ``dynvit merge`` takes."""
        if run.first and self.folder != self.bench.folder:
            with self._claimed(run):
                leave_nothing(self.folder)


def share_of(bench: Bench, share: BenchShare) -> Part:
    """One of the parts of a bench that is divided."""
    trainings = [cell.label for cell in cells_of(bench) if cell.kind == TRAIN]
    models = share.of([one.label for one in bench.preparation.planned])
    trained = share.of(trainings)
    own = [cell for cell in cells_of(bench) if cell.label in (trained if cell.kind == TRAIN else models)]
    cells = [cell for cell in own if cell.kind != SEARCH]  # a share searches in one process, as it measures
    return Part(bench, tuple(cells), bench.folder / share.folder)


def cell_part(bench: Bench, cell: Cell) -> Part:
    """One cell alone; what comes before it is done as well, where it has not been."""
    if not cell.measures:
        return Part(bench, (cell,), bench.folder)
    if cell.kind == SEARCH:  # it measures what no earlier trial has
        return Part(bench, (cell,), folder_of_cell(bench, cell))
    needed = [other for other in cells_of(bench) if other.name in cell.needs and other.measures]
    known = tuple(folder_of_cell(bench, other) for other in needed)
    return Part(bench, (cell,), folder_of_cell(bench, cell), known)
