"""What a run's folder holds: records, what was measured of them later, and per-sample results."""

from __future__ import annotations

import os
import warnings
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from glob import escape
from pathlib import Path
from typing import Any

from dynvit.errors import InputError
from dynvit.leaderboard.follow_up import FollowUp, newest_of_each_plugin
from dynvit.leaderboard.per_sample import PER_SAMPLE, VERSION_1, PerSampleResults, read_per_sample
from dynvit.leaderboard.place import Place
from dynvit.leaderboard.record import Record
from dynvit.leaderboard.store import RUNS, RunStore
from dynvit.leaderboard.verification import VERIFIED
from dynvit.measurements.base import measurements

Results = Mapping[str, Sequence[Any]]


@dataclass(frozen=True)
class RunData:
    """``results`` and ``skipped`` are by measurement, then by record id; ``per_sample`` by record id."""

    records: Sequence[Record]
    results: Mapping[str, Results] = field(default_factory=dict)
    skipped: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    per_sample: Mapping[str, PerSampleResults] = field(default_factory=dict)

    def only(self, records: Sequence[Record]) -> RunData:
        """The same for some of the records."""
        return RunData(records, self.results, self.skipped, self.per_sample)


def read_run(path: str | os.PathLike[str] | Place) -> RunData:
    """What lies in a run's folder, or beside a ``runs.jsonl``, or beside a published board.

    Raises: ``InputError`` where there is none, or naming the file and the line that is not what it should be.
    """
    place = path if isinstance(path, Place) else Place.of(path)
    runs = place.runs if isinstance(path, Place) or Path(path).is_dir() else Path(path)
    if not runs.is_file():
        raise InputError(f"no file {str(runs)!r}: give a bench's output folder, its {RUNS}, or a leaderboard.json")
    _say_what_is_left_out(place)
    results: dict[str, dict[str, list[Any]]] = {}
    skipped: dict[str, dict[str, str]] = {}
    for name, kind in measurements.load_all().items():
        lines = (line for store in kind.stores_at(place) for line in store.read())
        results[name], skipped[name] = sorted_out(lines)
    return RunData(RunStore(runs).read(), results, skipped, read_per_sample(place))


def sorted_out(lines: Iterable[FollowUp[Any]]) -> tuple[dict[str, list[Any]], dict[str, str]]:
    """The results of a measurement, and why it was skipped, by record id."""
    found, left_out = defaultdict(list), {}
    for line in newest_of_each_plugin(lines):
        if line.result is None:
            left_out[line.record_id] = line.skipped or ""
        else:
            found[line.record_id].append(line.result)
    # What an older code could not measure, and today's has, is measured.
    return dict(found), {record_id: why for record_id, why in left_out.items() if record_id not in found}


def _say_what_is_left_out(place: Place) -> None:
    """Lines of a measurement that is not here are no part of the board: whoever looks at it should know."""
    known = {RUNS, PER_SAMPLE, VERSION_1, VERIFIED, *(f"{name}.jsonl" for name in measurements.names())}
    for file in sorted(place.folder.glob(f"{escape(place.prefix)}*.jsonl")):
        if file.name.removeprefix(place.prefix) not in known:
            warnings.warn(
                f"{file.name} is of a measurement that is not here, and left out: install it, or give its file with "
                "--plugin",
                stacklevel=3,
            )
