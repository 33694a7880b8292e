"""What a measurement is. One that is registered is measured, joined, shown and published like ours.

A measurement says which tasks a measured point gives, measures a task, and tells people what came out. The runner
(``dynvit.measurements.runner``) does the rest for all of them: what is known is not measured again, processes share the
images, one writes, a kill loses at most one task. One that looks at each image by itself has less to say: it is a
``SampleMeasurement`` (``dynvit.measurements.samples``). Register a class with ``register_measurement``, or by an entry
point in the group ``dynvit.measurements``. Importing this module, and the class itself, must not import torch: a board
is shown without it, so what measures is imported inside ``measure``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, Self, TypeVar

from dynvit.errors import InputError
from dynvit.leaderboard.board import Entry, Leaderboard
from dynvit.leaderboard.follow_up import FollowUp, follow_up_key, from_version_1
from dynvit.leaderboard.lines import LineStore, UnwrittenLines
from dynvit.leaderboard.record import Frozen, JsonObject, Record
from dynvit.point import OperatingPoint
from dynvit.registry import Registry
from dynvit.settings import Settings

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from optuna.distributions import BaseDistribution
    from rich.table import Table

    from dynvit.data.source import ImageSource
    from dynvit.interface import DynamicModel
    from dynvit.measurements.run import Run
    from dynvit.measurements.runner import Runner
    from dynvit.progress import Progress
    from dynvit.session import OpenModel, Session


class Share(Protocol):
    """What one process measured of a task. Units: ``seconds`` in the model."""

    @property
    def seconds(self) -> float:
        """Time that it took."""
        ...

    def merged(self, others: Iterable[Any]) -> Self:
        """This and what the other processes measured, as if one had measured all."""
        ...


@dataclass(frozen=True)
class MeasuredPoint:
    """An operating point of an open model, and the record of its accuracy and compute.

    ``measured`` is None where accuracy was not measured; the id is known all the same.
    """

    opened: OpenModel
    point: OperatingPoint
    record_id: str
    measured: Record | None = None

    @property
    def record(self) -> Record:
        """The record."""
        assert self.measured is not None, "accuracy was not measured"
        return self.measured


@dataclass(frozen=True)
class Task:
    """One thing to measure of one point.

    ``config`` is everything that may change the result; with the record's id it names the task for ever. ``work`` is
    how much it is for one process, in the measurement's unit.
    """

    at: MeasuredPoint
    config: JsonObject = field(hash=False)
    work: int = field(default=1, kw_only=True)

    @property
    def key(self) -> str:
        """Hash of the record's id and the configuration."""
        return follow_up_key(self.at.record_id, self.config)


TaskT = TypeVar("TaskT", bound=Task)
ShareT = TypeVar("ShareT", bound=Share)
ResultT = TypeVar("ResultT", bound=Frozen)
SummaryT = TypeVar("SummaryT", bound=Frozen)
SettingsT = TypeVar("SettingsT", bound=Settings)


class Measurement(ABC, Generic[SettingsT, TaskT, ShareT, ResultT, SummaryT]):
    """A follow-up measurement of records.

    Class attributes: ``name``, in files, flags and JSON; ``summary``, one line for ``dynvit ls measurements``;
    ``Settings``, ``Result`` (of a task), ``Summary`` (of a record, in a board) and ``Overview`` (of all entries of a
    board; None: there is none); ``unit`` of progress;
    ``shared``, whether several processes share a task's images; ``needs``, the capabilities without which a model is
    skipped; ``higher_is_better``, by the summary's keys.
    """

    name: ClassVar[str]
    summary: ClassVar[str] = ""
    Settings: ClassVar[type[Any]] = Settings
    Result: ClassVar[type[Any]]
    Summary: ClassVar[type[Any]]
    Overview: ClassVar[type[Any] | None] = None
    unit: ClassVar[str] = "images"
    shared: ClassVar[bool] = True
    needs: ClassVar[frozenset[str]] = frozenset()
    higher_is_better: ClassVar[Mapping[str, bool]] = {}

    def __init__(self, settings: SettingsT) -> None:
        self.settings = settings

    # Before anything is measured

    def check(self, session: Session, source: ImageSource) -> None:
        """Find what is wrong before anything is written. ``source``: the reported images. Raises: ``InputError``."""

    def check_model(self, label: str, model: DynamicModel, knobs: Mapping[str, BaseDistribution]) -> None:
        """The same for one model, before it is trained. Raises: ``InputError`` that names it."""

    def plan(self, session: Session, source: ImageSource) -> Iterator[str]:
        """Lines of ``--dry-run``."""
        yield f"{self.name}: every point of each model"

    def misfit(self, opened: OpenModel) -> str | None:
        """Why this model cannot be measured so, for people; None where it can."""
        missing = sorted(self.needs - opened.supports)
        return f"it does not support {' and '.join(missing)}" if missing else None

    # Measuring

    @abstractmethod
    def tasks(self, points: Sequence[MeasuredPoint], run: Run) -> Iterable[TaskT]:
        """What there is to measure of the points. Those of one model follow each other."""

    @abstractmethod
    def measure(self, tasks: Sequence[TaskT], run: Run, progress: Progress) -> Iterator[tuple[TaskT, ShareT]]:
        """Measure this process's share of each task, in any order that all processes agree on.

        Advances ``progress`` by each task's ``work``.
        """

    @abstractmethod
    def result(self, task: TaskT, share: ShareT, run: Run) -> ResultT:
        """What is written of a task; ``share`` is all processes' together."""

    def done(self, line: FollowUp[ResultT]) -> bool:
        """Whether a line is as good as can be; one that is not is measured again."""
        return True

    def better(self, task: TaskT, share: ShareT, line: FollowUp[ResultT]) -> bool:
        """Whether a new result takes the place of a line that was not ``done``."""
        return True

    def estimate(self, tasks: Sequence[TaskT], run: Run) -> str | None:
        """What is about to be measured and about how long it takes, for people; None: the progress tells."""
        return None

    def objective(self, at: MeasuredPoint, runner: Runner) -> float | None:
        """What a search maximises of this measurement beside accuracy; None: nothing. Measures what is missing."""
        return None

    searchable: ClassVar[bool] = False
    """Whether ``objective`` gives a number: then a search has three objectives."""

    def search_identity(self) -> dict[str, Any]:
        """The settings by their flat names where a search depends on them; else nothing."""
        return {}

    # Files

    @classmethod
    def store(cls, place: Path | None) -> LineStore[FollowUp[ResultT]]:
        """The file of this measurement in a run's folder, or the file itself; None: lines that nobody keeps."""
        line: Any = FollowUp[cls.Result]  # type: ignore[name-defined]
        if place is None:
            return UnwrittenLines(line)
        return LineStore(place / f"{cls.name}.jsonl" if place.is_dir() else place, line, upgrade=cls.upgrade)

    @classmethod
    def read(cls, folder: Path) -> list[FollowUp[ResultT]]:
        """Every line that a run's folder holds of this measurement. Raises: as ``LineStore``."""
        return cls.store(folder).read()

    @classmethod
    def recognises(cls, config: Mapping[str, Any]) -> bool:
        """Whether a line's configuration is one of this measurement's, whatever its file is called."""
        return config.get("measurement") == cls.name

    @classmethod
    def upgrade(cls, line: dict[str, Any]) -> dict[str, Any] | None:
        """A line of version 1 in today's form; None where it belongs to another measurement now."""
        return from_version_1(line)

    # What came out; no torch from here on

    @classmethod
    def summarise(
        cls, records: Sequence[Record], results: Mapping[str, Sequence[ResultT]]
    ) -> Mapping[str, SummaryT | None]:
        """The summary of each record that has results. ``results`` are by record id, in the order of their lines."""
        return {r.record_id: cls.summary_of(r, results[r.record_id]) for r in records if results.get(r.record_id)}

    @classmethod
    def summary_of(cls, record: Record, results: Sequence[ResultT]) -> SummaryT | None:
        """One record's summary; None where the results say nothing. The newest result, where a summary is one."""
        if cls.Summary is not cls.Result:
            raise NotImplementedError(f"{cls.__name__} says neither summarise nor summary_of")
        newest: Any = results[-1]
        return newest

    @classmethod
    def overview(cls, entries: Sequence[Entry], board: Leaderboard) -> Frozen | None:
        """What is said of all entries of a board together; None: nothing."""
        return None

    @classmethod
    def columns(cls, board: Leaderboard) -> Mapping[str, Mapping[str, str]]:
        """Columns of the board's main table: by heading, a cell for each record id."""
        return {}

    @classmethod
    def tables(cls, board: Leaderboard) -> Iterator[Table]:
        """Tables of its own."""
        return iter(())

    @classmethod
    def notes(cls, board: Leaderboard) -> Iterator[str]:
        """Lines below the tables."""
        return iter(())

    @classmethod
    def figure(cls, board: Leaderboard) -> Figure | None:
        """The picture, written as NAME.png and NAME.svg; None where nothing was measured."""
        return None

    @classmethod
    def rows(cls, board: Leaderboard) -> list[dict[str, Any]]:
        """What is plotted, a line of NAME.csv each."""
        return []

    @classmethod
    def of(cls, board: Leaderboard) -> dict[str, SummaryT]:
        """The summaries in a board, by record id."""
        return board.summaries(cls.name, cls.Summary)

    @classmethod
    def measured(cls, board: Leaderboard) -> list[tuple[Entry, SummaryT]]:
        """The entries that were measured, each with its summary, in the order of the board."""
        found = cls.of(board)
        return [(entry, found[entry.record_id]) for entry in board.entries if entry.record_id in found]

    # Boards of version 1

    @classmethod
    def entry_from_version_1(cls, entry: JsonObject) -> JsonObject | None:
        """The summary that an entry of version 1 holds in fields of its own; None: none."""
        return None

    @classmethod
    def overview_from_version_1(cls, board: JsonObject) -> JsonObject | None:
        """What a board of version 1 says of all entries together, in a field of its own; None: nothing."""
        return None


class _Measurements(Registry[type[Measurement[Any, Any, Any, Any, Any]]]):
    """Measurements by name. A class knows its own: files, flags and boards have it from there."""

    def get(self, name: str) -> type[Measurement[Any, Any, Any, Any, Any]]:
        """As ``Registry``. Raises: ``InputError`` also where the class is called otherwise."""
        kind = super().get(name)
        own = getattr(kind, "name", None)
        if own != name:
            raise InputError(
                f"measurement {name!r} must be registered by its own name, {own!r}: {self.origins(name)[0]}"
            )
        return kind


measurements = _Measurements("measurement", "dynvit.measurements")
register_measurement = measurements.register


def choose_points(points: Sequence[MeasuredPoint], count: int | None) -> list[MeasuredPoint]:
    """Of one model's points those that a measurement looks at, by rising cost; None: all of them.

    They are spread evenly over the model's front, ends included; where the front has fewer than ``count``, over the
    dominated points too. One rule for every measurement, so that what is attacked is also what is timed.
    """
    from dynvit.leaderboard.front import non_dominated

    if count is None or count >= len(points):
        return list(points)
    worth = [(at.record.compute.gmacs_mean, at.record.accuracy.top1_pct) for at in points]
    on_front = non_dominated(worth, minimise=(True, False)).tolist()
    front = _by_cost(at for at, keep in zip(points, on_front, strict=True) if keep)
    dominated = _by_cost(at for at, keep in zip(points, on_front, strict=True) if not keep)
    chosen = _spread(front, count)
    return _by_cost([*chosen, *_spread(dominated, count - len(chosen))])


def _by_cost(points: Iterable[MeasuredPoint]) -> list[MeasuredPoint]:
    return sorted(points, key=lambda at: at.record.compute.gmacs_mean)


def _spread(points: Sequence[MeasuredPoint], count: int) -> list[MeasuredPoint]:
    """``count`` of them at most, evenly from the first to the last; of one, the middle."""
    if count < 1:
        return []
    last = len(points) - 1
    places = [last / 2] if count == 1 else [last * step / (count - 1) for step in range(count)]
    return [points[place] for place in dict.fromkeys(round(place) for place in places)]


def by_model(points: Sequence[MeasuredPoint]) -> Iterator[list[MeasuredPoint]]:
    """The points of each model, in the order in which the models come."""
    labels = dict.fromkeys(at.opened.label for at in points)
    return ([at for at in points if at.opened.label == label] for label in labels)
