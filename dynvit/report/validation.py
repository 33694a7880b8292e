"""The files of a run held against each other: what follows from the rest is derived again, for ``dynvit validate``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from dynvit.leaderboard.contradiction import Contradiction
from dynvit.leaderboard.follow_up import FollowUp
from dynvit.leaderboard.place import Place
from dynvit.leaderboard.record import Record
from dynvit.leaderboard.rederive import agreeing, images_of, of_per_sample, of_record, of_records
from dynvit.leaderboard.store import RUNS, RunStore
from dynvit.measurements.base import Measurement, measurements
from dynvit.measurements.rederive import Beside
from dynvit.report.placed import Placed, PlacedRun, placed, read_placed, standing

Kind = type[Measurement[Any, Any, Any]]
EDITED = "must be as it was written: something in it was edited or damaged since (its sha256 is of other content)"
_SAME_MACHINE = ("device", "cpu", "torch", "timm", "numpy")


@dataclass(frozen=True)
class Fault:
    """What is wrong with a file, and in which line; None: the whole of it."""

    file: Path
    text: str
    line: int | None = None

    def __str__(self) -> str:
        return f"{self.file}{'' if self.line is None else f' line {self.line}'}{self.text}"

    def concerns(self, file: Path) -> bool:
        """Whether it is of this file, or between another and this one."""
        return file == self.file or (file.parent == self.file.parent and file.name in self.text)


def faults_of_run(place: Place) -> Iterator[Fault]:
    """Every contradiction among the lines of a run, and every edited line. Raises: as ``LineStore``."""
    yield from contradictions_in(read_placed(place))


def contradictions_in(run: PlacedRun) -> Iterator[Fault]:
    """Every contradiction among lines, and every edited line."""
    kinds = measurements.load_all()
    later = (_of_follow_ups(kind, run.follow_ups[name], run) for name, kind in kinds.items())
    found = [*_of_records(run), *_of_per_sample(run), *chain.from_iterable(later)]
    yield from found
    yield from _edited(run.every(), found)


def faults_of_file(file: Path, kind: Kind | None) -> Iterator[Fault]:
    """Every contradiction within a file alone, and every edited line.

    ``kind``: the measurement of its lines; None: records.
    """
    if kind is None:
        records = placed(RunStore(file))
        found = list(_of_records(PlacedRun(records, (), {})))
        yield from found
        yield from _edited(records, found)
        return
    lines = placed(kind.store(file))
    found = [fault for line in lines for fault in _of_follow_up(kind, line, Beside(line.line.config))]
    yield from found
    yield from _edited(lines, found)


def _edited(lines: Sequence[Placed[Any]], found: Sequence[Fault]) -> Iterator[Fault]:
    """The edited lines of which no other fault says what is wrong."""
    told = {(fault.file, fault.line) for fault in found}
    for line in lines:
        if line.edited and (line.file, line.number) not in told:
            yield Fault(line.file, f" {EDITED}", line.number)


def _of_records(run: PlacedRun) -> Iterator[Fault]:
    first: dict[str, Placed[Record]] = {}
    for line in run.records:
        yield from (_fault(line, found) for found in of_record(line.line))
        if line.key in first:
            yield Fault(line.file, f": record {line.key} stands in {first[line.key].where} already", line.number)
        first.setdefault(line.key, line)
    by_place = {line.where: line for line in run.records}
    records = [(line.where, line.line) for line in run.records]
    yield from (_fault(by_place[where], found) for where, found in of_records(records))


def _of_per_sample(run: PlacedRun) -> Iterator[Fault]:
    records, lines = standing(run.records), standing(run.per_sample)
    known = []
    for key, line in lines.items():
        if key in records:
            yield from (
                _fault(line, found) for found in of_per_sample(line.line, records[key].line, records[key].where)
            )
            known.append(line)
        elif records and line is not run.per_sample[-1]:  # a kill may leave the last one without its record
            yield _no_record(line, key)
    by_place = {line.where: line for line in known}
    images = agreeing(
        [(line.where, line.line) for line in known],
        lambda results: images_of(records[results.record_id].line),
        {"images": lambda results: results.images},
    )
    yield from (_fault(by_place[where], found) for where, found in images)


def _of_follow_ups(kind: Kind, lines: Sequence[Placed[FollowUp[Any]]], run: PlacedRun) -> Iterator[Fault]:
    records, kept = standing(run.records), standing(run.per_sample)
    by_record: dict[str, list[Placed[FollowUp[Any]]]] = {}
    seen: dict[str, Placed[FollowUp[Any]]] = {}
    for line in lines:
        before = seen.setdefault(line.key, line)
        if before is not line and before.line.result == line.line.result:
            yield Fault(line.file, f": key {line.key} stands in {before.where} with the same result", line.number)
        by_record.setdefault(line.line.record_id, []).append(line)
    for record_id, own in by_record.items():
        record = records.get(record_id)
        for line in own:
            if record is None:
                yield _no_record(line, record_id)
                continue
            alike_made = [o.line.result for o in own if o.line.result is not None and _same_machine(o.line, line.line)]
            results = kept[record_id].line if record_id in kept and _same_machine(record.line, line.line) else None
            yield from _of_follow_up(kind, line, Beside(line.line.config, record.line, results, alike_made))


def _of_follow_up(kind: Kind, line: Placed[FollowUp[Any]], beside: Beside) -> Iterator[Fault]:
    config, result = line.line.config, line.line.result
    if result is None:
        if "skipped" in config and config["skipped"] != line.line.skipped:
            yield _fault(line, Contradiction("skipped", f"be {config['skipped']!r} (config)", line.line.skipped))
        return
    for found in kind.contradictions(result, beside):
        yield _fault(line, found.within("result"))


def _same_machine(one: FollowUp[Any] | Record, other: FollowUp[Any] | Record) -> bool:
    return all(getattr(one.environment, key) == getattr(other.environment, key) for key in _SAME_MACHINE)


def _fault(line: Placed[Any], found: Contradiction) -> Fault:
    return Fault(line.file, f": {found}", line.number)


def _no_record(line: Placed[Any], record_id: str) -> Fault:
    return Fault(line.file, f": record_id must name a record of {RUNS}, got {record_id}", line.number)
