"""Lines of several runs as those of one: each measurement once, and what contradicts is refused by name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel

from dynvit.errors import InputError
from dynvit.leaderboard.contradiction import differences
from dynvit.leaderboard.follow_up import FollowUp
from dynvit.leaderboard.per_sample import PER_SAMPLE
from dynvit.leaderboard.record import Record
from dynvit.leaderboard.store import RUNS
from dynvit.leaderboard.verification import VERIFIED, Verification
from dynvit.measurements.base import measurements
from dynvit.report.placed import Placed, PlacedRun, standing
from dynvit.report.run_data import RunData, sorted_out

LineT = TypeVar("LineT", bound=BaseModel)
# What may differ where the same was measured twice, and who is believed where it does.
_OCCASION = {"date_utc", "wall_s", "command", "environment", "git_sha", "sha256", "schema_version"}


def joined(runs: Iterable[PlacedRun]) -> PlacedRun:
    """All lines, those of the first run first.

    Where several have measured the same and found the same, the record of the lowest budget stands, else the oldest
    line; of a measurement that never gives the same numbers twice, the newest.

    Raises: ``InputError`` where the same measurement has other numbers, with both and where they stand.
    """
    runs = list(runs)
    return PlacedRun(
        records=_union("record", (run.records for run in runs)),
        per_sample=_union("per-sample results of", (run.per_sample for run in runs)),
        follow_ups={
            name: _union(name, (run.follow_ups[name] for run in runs), repeats=kind.repeats)
            for name, kind in measurements.load_all().items()
        },
        again=_union("verification", (run.again for run in runs)),
    )


def run_data(run: PlacedRun) -> RunData:
    """What the lines say, as a board is built from it."""
    results = {name: sorted_out(line.line for line in lines) for name, lines in run.follow_ups.items()}
    return RunData(
        [line.line for line in run.records],
        {name: found for name, (found, _) in results.items()},
        {name: skipped for name, (_, skipped) in results.items()},
        {line.key: line.line for line in run.per_sample},
    )


def texts(run: PlacedRun) -> Iterator[tuple[str, bytes]]:
    """Each file of a run's folder that has lines, in an order that leaves no record without its evidence."""
    files: Mapping[str, Any] = {
        **{f"{name}.jsonl": lines for name, lines in run.follow_ups.items()},
        PER_SAMPLE: run.per_sample,
        RUNS: run.records,
        VERIFIED: run.again,
    }
    for name, lines in files.items():
        if lines:
            yield name, b"".join(line.text + b"\n" for line in lines)


def _union(what: str, sources: Iterable[Iterable[Placed[LineT]]], *, repeats: bool = True) -> list[Placed[LineT]]:
    found: dict[str, Placed[LineT]] = {}
    for lines in sources:
        for key, line in standing(list(lines)).items():
            before = found.setdefault(key, line)
            if before.text != line.text:
                if repeats:
                    _agree(what, before, line)
                found[key] = min(before, line, key=lambda one: _rank(one, newest=not repeats))
    return list(found.values())


def _agree(what: str, before: Placed[LineT], line: Placed[LineT]) -> None:
    """Raises: ``InputError`` where two lines of one measurement have other numbers."""
    why = f"as in {before.file} line {before.number}"
    found = next(differences(_numbers(line.line), _numbers(before.line), why), None)
    if found is not None:
        raise InputError(
            f"{line.file} line {line.number}: {what} {line.key}: {found}: measured twice with other numbers; find out "
            "which is right, and leave the other out"
        )


def _numbers(line: BaseModel) -> dict[str, Any]:
    """What of a line must be the same whenever it is measured."""
    body = line.model_dump(mode="json", exclude=_OCCASION)
    if isinstance(line, Record):
        for part in ("target_gmacs", "solved_by", "origin"):  # which budget led to a point
            body["point"].pop(part, None)
        for holder, name in (("checkpoint", "uri"), ("backbone", "weights_uri"), ("training", "wall_s")):
            if body.get(holder):
                body[holder].pop(name, None)
    return body


def _rank(line: Placed[Any], *, newest: bool) -> tuple[Any, ...]:
    """The lowest is believed."""
    body = line.line
    if isinstance(body, Record):
        target = body.point.target_gmacs
        return body.training is None, target is None, target or 0.0, body.date_utc.timestamp(), line.text
    if isinstance(body, FollowUp):
        return (-1 if newest else 1) * body.date_utc.timestamp(), line.text
    return (body.date_utc.timestamp() if isinstance(body, Verification) else 0.0), line.text
