"""One loop for every measurement: known → missing → measure → gather → append, over processes, with progress."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Generic, TypeVar

from accelerate.utils import broadcast_object_list, gather_object
from pydantic import BaseModel

from dynvit.leaderboard.follow_up import PLUGIN, FollowUp, follow_up_key, newest_of_each_plugin
from dynvit.leaderboard.lines import LineStore
from dynvit.measurements.base import Measurement, measurements
from dynvit.measurements.run import Run
from dynvit.measurements.task import MeasuredPoint, Share, Task
from dynvit.plain import say
from dynvit.plugin_faults import plugin_faults
from dynvit.progress import Progress

LineT = TypeVar("LineT", bound=BaseModel)
Made = Callable[[], LineT]


@dataclass
class Lines(Generic[LineT]):
    """The lines of one file, known to every process and written by the first."""

    run: Run
    store: LineStore[LineT]
    read: Callable[[], list[LineT]] | None = None
    known: dict[str, LineT] = field(init=False)

    def __post_init__(self) -> None:
        lines = self._everywhere((self.read or self.store.read)() if self.run.first else [])
        self.known = {self.store.key(line): line for line in lines}

    def writing(self) -> AbstractContextManager[object]:
        """Hold the file meanwhile, in the process that writes."""
        return self.store if self.run.first else nullcontext()

    def add(self, make: Made[LineT]) -> LineT:
        """Make a line in the first process, append it, and tell the others."""
        [line] = self._everywhere([make()] if self.run.first else [])
        if self.run.first:
            self.store.append(line)
        self.known[self.store.key(line)] = line
        return line

    def until_done(self) -> None:
        """Where the first process alone adds lines: it says when it is done; the others take its lines in."""
        while lines := self._everywhere([]):
            self.known |= {self.store.key(line): line for line in lines}

    def _everywhere(self, lines: list[LineT]) -> list[LineT]:
        """The first process's lines, in every process. They go as JSON: a model with parameters cannot be pickled."""
        if self.run.state.num_processes == 1:
            return lines
        texts = [[line.model_dump_json() for line in lines]]
        broadcast_object_list(texts)
        return lines if self.run.first else [self.store.model.model_validate_json(text) for text in texts[0]]


def together(share: Share) -> Any:
    """All processes' shares of a task as one."""
    shares: list[Any] = gather_object([share])
    return shares[0].merged(shares[1:])


@dataclass
class Runner:
    """Carries out one follow-up measurement, into its file in the run's folder or into ``store``.

    Every process has one. Of a measurement that is not ``shared`` the first process measures all images, and the others
    hear what came out.
    """

    measurement: Measurement[Any, Any, Any]
    run: Run
    store: LineStore[FollowUp[Any]] | None = None
    lines: Lines[FollowUp[Any]] = field(init=False)
    within: Run = field(init=False)

    def __post_init__(self) -> None:
        store, read = self.store, None
        if store is None:
            store, read = self.measurement.store(self.run.folder), partial(self.measurement.read, self.run.folder)
        self.lines = Lines(self.run, store, read)
        self.within = self.run if self.measurement.shared else self.run.by_itself()

    def carry_out(self, points: Sequence[MeasuredPoint], labels: Collection[str] | None = None) -> None:
        """Measure what is missing of the points; what a model cannot give is recorded as skipped, with the reason.

        ``labels``: of the models that are measured; the others are there for these to be held against. None: all.
        """
        fitting = self._fitting(points, labels)
        tasks = self.measurement.measurer.tasks(fitting, self.within)
        self.do(task for task in tasks if labels is None or task.at.opened.label in labels)

    def missing(self, tasks: Iterable[Task]) -> list[Task]:
        """Those of the tasks that no line answers, each once."""
        found = {task.key: task for task in self._versioned(tasks)}
        known = {line.key: line for line in newest_of_each_plugin(self.lines.known.values())}
        return [
            task for key, task in found.items() if key not in known or not self.measurement.measurer.done(known[key])
        ]

    def results(self, tasks: Iterable[Task]) -> list[Any]:
        """What the lines of these tasks say; those that are missing are left out."""
        lines = [self.lines.known.get(task.key) for task in self._versioned(tasks)]
        return [line.result for line in lines if line is not None and line.result is not None]

    def do(self, tasks: Iterable[Task]) -> None:
        """Measure those of the tasks that no line answers. A line is written when its task is done."""
        todo = self.missing(tasks)
        if not todo:
            return
        if self.measurement.shared or self.run.first:
            self._measure(todo)
        if not self.measurement.shared:
            self.lines.until_done()

    def _versioned(self, tasks: Iterable[Task]) -> Iterator[Task]:
        """The tasks of a one-file plug-in by its version: what an edited one measures is another task."""
        version = measurements.file_version(self.measurement.name)
        return (replace(task, config={**task.config, PLUGIN: version}) if version else task for task in tasks)

    @plugin_faults()
    def _measure(self, todo: Sequence[Task]) -> None:
        if (said := self.measurement.measurer.estimate(todo, self.within)) is not None and self.run.first:
            say(said, err=True)
        total = sum(task.work for task in todo)
        with (
            self.lines.writing(),
            Progress(self.measurement.name, total, unit=self.measurement.unit, quiet=not self.run.first) as progress,
        ):
            for task, own in self.measurement.measurer.measure(todo, self.within, progress):
                share = together(own) if self.measurement.shared else own
                known = self.lines.known.get(task.key)
                if known is None or self.measurement.measurer.better(task, share, known):
                    self.lines.add(lambda task=task, share=share: self._line(task, share))  # type: ignore[misc]

    def _line(self, task: Task, share: Share) -> FollowUp[Any]:
        result = self.measurement.measurer.result(task, share, self.within)
        return self._framed(task.at, task.config, share.seconds, result=result)

    def _framed(self, at: MeasuredPoint, config: dict[str, Any], seconds: float, **what: Any) -> FollowUp[Any]:
        record_id = at.record_id
        return FollowUp[self.measurement.Result](  # type: ignore[name-defined]
            record_id=record_id,
            key=follow_up_key(record_id, config),
            config=config,
            environment=self.within.environment,
            command=self.run.command,
            git_sha=self.run.git_sha,
            date_utc=datetime.now(UTC),
            wall_s=round(seconds, 3),
            **{"result": None, **what},
        )

    def _fitting(self, points: Sequence[MeasuredPoint], labels: Collection[str] | None) -> list[MeasuredPoint]:
        fitting = []
        for at in points:
            reason = self.measurement.measurer.misfit(at.opened)
            if reason is None:
                fitting.append(at)
                continue
            if labels is not None and at.opened.label not in labels:
                continue
            config = {"measurement": self.measurement.name, "skipped": reason}
            if follow_up_key(at.record_id, config) not in self.lines.known:
                self.lines.add(lambda at=at, config=config, why=reason: self._framed(at, config, 0.0, skipped=why))  # type: ignore[misc]
        return fitting
