"""The lines of a run's folder, each with the file and the number where it stands."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from dynvit.leaderboard.follow_up import FollowUp
from dynvit.leaderboard.lines import CURRENT, LineStore, text_of
from dynvit.leaderboard.per_sample import PER_SAMPLE, VERSION_1, PerSampleResults, PerSampleStore
from dynvit.leaderboard.place import Place
from dynvit.leaderboard.record import Record
from dynvit.leaderboard.store import RunStore
from dynvit.leaderboard.verification import VERIFIED, Verification, VerificationStore
from dynvit.measurements.base import measurements

LineT = TypeVar("LineT", bound=BaseModel)
_CURRENT = re.compile(rb'"schema_version": ?%d[,}]' % CURRENT)


@dataclass(frozen=True)
class Placed(Generic[LineT]):
    """A line and its place. ``key`` names what was measured: of lines with one key the last stands.

    ``edited``: it was changed after it was written. ``text``: as today's dynvit writes it.
    """

    file: Path
    number: int
    key: str
    line: LineT
    edited: bool
    text: bytes

    @property
    def where(self) -> str:
        """The place, within the folder."""
        return f"{self.file.name} line {self.number}"


@dataclass(frozen=True)
class PlacedRun:
    """The lines of a run, or of a published board. ``follow_ups`` are by measurement; ``again`` what was verified."""

    records: Sequence[Placed[Record]]
    per_sample: Sequence[Placed[PerSampleResults]]
    follow_ups: Mapping[str, Sequence[Placed[FollowUp[Any]]]]
    again: Sequence[Placed[Verification]] = ()

    def only(self, ids: Set[str]) -> PlacedRun:
        """The lines of these records."""
        return PlacedRun(
            [line for line in self.records if line.key in ids],
            [line for line in self.per_sample if line.key in ids],
            {name: [li for li in lines if li.line.record_id in ids] for name, lines in self.follow_ups.items()},
            [line for line in self.again if line.line.record_id in ids],
        )

    def every(self) -> list[Placed[Any]]:
        """All lines."""
        return [*self.records, *self.per_sample, *self.again, *chain.from_iterable(self.follow_ups.values())]


def placed(store: LineStore[LineT]) -> list[Placed[LineT]]:
    """The lines of a file. Raises: as ``LineStore``."""
    numbered, texts, edited = store.numbered(), store.texts(), store.edited()
    return [
        Placed(store.path, number, store.key(line), line, number in edited, _as_today(texts[number], line))
        for number, line in numbered
    ]


def _as_today(text: bytes, line: BaseModel) -> bytes:
    """What was written by an older dynvit is written anew; the rest keeps its bytes, and its digest."""
    current = "schema_version" not in type(line).model_fields or _CURRENT.search(text)
    return text if current else text_of(line)


def read_placed(place: Place) -> PlacedRun:
    """All lines of a run or of a published board. Raises: as ``LineStore``."""
    return PlacedRun(
        records=placed(RunStore(place.runs)),
        per_sample=[line for name in (VERSION_1, PER_SAMPLE) for line in placed(PerSampleStore(place.file(name)))],
        follow_ups={
            name: [line for store in kind.stores_at(place) for line in placed(store)]
            for name, kind in measurements.load_all().items()
        },
        again=placed(VerificationStore(place.file(VERIFIED))),
    )


def standing(lines: Sequence[Placed[LineT]]) -> dict[str, Placed[LineT]]:
    """The lines that count, by key: of several the last."""
    return {line.key: line for line in lines}
