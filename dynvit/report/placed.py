"""The lines of a run's folder, each with the file and the number where it stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from dynvit.leaderboard.follow_up import FollowUp
from dynvit.leaderboard.lines import LineStore
from dynvit.leaderboard.per_sample import PER_SAMPLE, VERSION_1, PerSampleResults, PerSampleStore
from dynvit.leaderboard.place import Place
from dynvit.leaderboard.record import Record
from dynvit.leaderboard.store import RunStore
from dynvit.measurements.base import measurements

LineT = TypeVar("LineT", bound=BaseModel)


@dataclass(frozen=True)
class Placed(Generic[LineT]):
    """A line and its place. ``key`` names what was measured: of lines with one key the last stands.

    ``edited``: it was changed after it was written.
    """

    file: Path
    number: int
    key: str
    line: LineT
    edited: bool

    @property
    def where(self) -> str:
        """The place, within the folder."""
        return f"{self.file.name} line {self.number}"


@dataclass(frozen=True)
class PlacedRun:
    """The lines of a run, or of a published board. ``follow_ups`` are by measurement."""

    records: Sequence[Placed[Record]]
    per_sample: Sequence[Placed[PerSampleResults]]
    follow_ups: Mapping[str, Sequence[Placed[FollowUp[Any]]]]


def placed(store: LineStore[LineT]) -> list[Placed[LineT]]:
    """The lines of a file. Raises: as ``LineStore``."""
    numbered = store.numbered()
    edited = store.edited()
    return [Placed(store.path, number, store.key(line), line, number in edited) for number, line in numbered]


def read_placed(place: Place) -> PlacedRun:
    """All lines of a run or of a published board. Raises: as ``LineStore``."""
    return PlacedRun(
        records=placed(RunStore(place.runs)),
        per_sample=[line for name in (VERSION_1, PER_SAMPLE) for line in placed(PerSampleStore(place.file(name)))],
        follow_ups={
            name: [line for store in kind.stores_at(place) for line in placed(store)]
            for name, kind in measurements.load_all().items()
        },
    )


def standing(lines: Sequence[Placed[LineT]]) -> dict[str, Placed[LineT]]:
    """The lines that count, by key: of several the last."""
    return {line.key: line for line in lines}
