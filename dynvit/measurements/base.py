"""What a measurement is. One that is registered is measured, joined, shown and published like ours.

A ``Measurement`` says what it is called, what it can be told and what came out; its ``Measurer`` says which tasks a
measured point gives, and measures them. The runner (``dynvit.measurements.runner``) does the rest for all of them: what
is known is not measured again, processes share the images, one writes, a kill loses at most one task. One that looks at
each image by itself has less to say: it is a ``SampleMeasurement`` (``dynvit.measurements.samples``), both in one.
Register a class with ``register_measurement``, or by an entry point in the group ``dynvit.measurements``. Importing the
class must not import torch: a board is shown without it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from dynvit.errors import InputError
from dynvit.leaderboard.axes import Axis, axes_of_summaries
from dynvit.leaderboard.board import Entry, Leaderboard
from dynvit.leaderboard.contradiction import Contradiction
from dynvit.leaderboard.follow_up import FollowUp, from_version_1
from dynvit.leaderboard.lines import LineStore, UnwrittenLines
from dynvit.leaderboard.place import Place
from dynvit.leaderboard.record import Frozen, JsonObject, Record
from dynvit.measurements.measurer import Measurer
from dynvit.measurements.rederive import Beside
from dynvit.registry import Registry
from dynvit.settings import Settings

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.table import Table

ResultT = TypeVar("ResultT", bound=Frozen)
SummaryT = TypeVar("SummaryT", bound=Frozen)
SettingsT = TypeVar("SettingsT", bound=Settings)


class Measurement(Generic[SettingsT, ResultT, SummaryT]):
    """A follow-up measurement of records.

    Class attributes: ``name``, in files, flags and JSON; ``summary``, one line for ``dynvit ls measurements``;
    ``measured_by``, ``module:class`` of its ``Measurer``, which is imported when something is measured; ``Settings``,
    ``Result`` (of a task), ``Summary`` (of a record, in a board) and ``Overview`` (of all entries of a board; None:
    there is none); ``unit`` of progress; ``shared``, whether several processes share a task's images; ``searchable``,
    whether its measurer gives a search a third objective; ``higher_is_better``, by the summary's keys; ``judgements``,
    keys of the summary that another version of the package may judge otherwise: ``validate`` does not hold them;
    ``repeats``, whether measured again it gives the same numbers: else the newer line stands when runs are merged.
    """

    name: ClassVar[str]
    summary: ClassVar[str] = ""
    measured_by: ClassVar[str] = ""
    Settings: ClassVar[type[Any]] = Settings
    Result: ClassVar[type[Any]]
    Summary: ClassVar[type[Any]]
    Overview: ClassVar[type[Any] | None] = None
    unit: ClassVar[str] = "images"
    shared: ClassVar[bool] = True
    searchable: ClassVar[bool] = False
    higher_is_better: ClassVar[Mapping[str, bool]] = {}
    judgements: ClassVar[frozenset[str]] = frozenset()
    repeats: ClassVar[bool] = True

    def __init__(self, settings: SettingsT) -> None:
        self.settings = settings

    @cached_property
    def measurer(self) -> Measurer[Any, Any, Any, ResultT]:
        """What measures it. A measurement that measures itself is its own."""
        if isinstance(self, Measurer):
            return self
        module, _, name = self.measured_by.partition(":")
        made: Measurer[Any, Any, Any, ResultT] = getattr(import_module(module), name)(self.settings)
        return made

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
        return [line for store in cls.stores(folder) for line in store.read()]

    @classmethod
    def stores(cls, folder: Path) -> Sequence[LineStore[FollowUp[ResultT]]]:
        """The files of a run's folder that hold its lines."""
        return [cls.store(folder)]

    @classmethod
    def stores_at(cls, place: Place) -> Sequence[LineStore[FollowUp[ResultT]]]:
        """The same of a run or of a published board, wherever its files lie."""
        return [cls.store(place.file(f"{cls.name}.jsonl"))] if place.is_published else cls.stores(place.folder)

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
    def axes(cls, board: Leaderboard) -> Iterator[Axis]:
        """What of it is a number of each entry, for pictures of one's own choice of axes: every number that the
        summaries hold, by the descriptions of their fields."""
        return axes_of_summaries(cls.name, cls.of(board), cls.Summary, cls.higher_is_better)

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

    # What follows from the rest, for ``dynvit validate``

    @classmethod
    def contradictions(cls, result: ResultT, beside: Beside) -> Iterator[Contradiction]:
        """Numbers of a result that do not follow from the rest of its line, or from its record."""
        return iter(())

    @classmethod
    def contradictions_on_board(cls, summary: SummaryT, entry: Entry, board: Leaderboard) -> Iterator[Contradiction]:
        """Numbers of an entry's summary that do not follow from the rest of the board."""
        return iter(())

    # Boards of version 1

    @classmethod
    def entry_from_version_1(cls, entry: JsonObject) -> JsonObject | None:
        """The summary that an entry of version 1 holds in fields of its own; None: none."""
        return None

    @classmethod
    def overview_from_version_1(cls, board: JsonObject) -> JsonObject | None:
        """What a board of version 1 says of all entries together, in a field of its own; None: nothing."""
        return None


class _Measurements(Registry[type[Measurement[Any, Any, Any]]]):
    """Measurements by name. A class knows its own: files, flags and boards have it from there."""

    def _load(self, name: str, entries: Any) -> type[Measurement[Any, Any, Any]]:
        """As ``Registry``. Raises: ``InputError`` also where the class is called otherwise."""
        kind = super()._load(name, entries)
        own = getattr(kind, "name", None)
        if own != name:
            raise InputError(
                f"measurement {name!r} must be registered by its own name, {own!r}: {self.origins(name)[0]}"
            )
        return kind


measurements = _Measurements("measurement", "dynvit.measurements")
register_measurement = measurements.register
