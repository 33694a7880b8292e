"""One trial of a search, measured by a process of its own."""

from __future__ import annotations

from dynvit.benchmark.cells import Cell
from dynvit.benchmark.proposals import Proposals, keep_worth
from dynvit.benchmark.run import Bench
from dynvit.benchmark.searching import Trials
from dynvit.benchmark.taking_over import leave_nothing
from dynvit.measurements.accuracy.measure import Recorder
from dynvit.measurements.run import Run
from dynvit.progress import Progress


def measure_trial(bench: Bench, cell: Cell, run: Run) -> None:
    """Measure what a trial proposes, into the run's folder; nothing where an earlier trial proposes the same.

    The trials of the batches before must be done.
    """
    trial = cell.trial or 0
    if run.first:
        Proposals(bench, cell.label).point(trial)
    run.state.wait_for_everyone()
    points = bench.searches.kept(cell.label)
    if points.index(points[trial]) < trial:
        if run.first:
            leave_nothing(run.folder)
        return
    [opened] = bench.models(run, {cell.label})
    opened.model.eval().to(run.device)
    trials = Trials.of(opened, Recorder.of(run), bench.searches)
    with (
        trials.recorder.lines.writing(),
        Progress(f"search {cell.label}", trials.images, quiet=not run.first) as progress,
    ):
        worth = trials.measure(points[trial], progress)
    if run.first:
        keep_worth(run.folder, worth)
