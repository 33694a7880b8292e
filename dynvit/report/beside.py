"""A board held against the board that the runs beside it make."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dynvit.leaderboard.contradiction import Contradiction, differences, equal
from dynvit.leaderboard.place import Place
from dynvit.leaderboard.store import RUNS
from dynvit.measurements.base import Measurement, measurements
from dynvit.report.assembling import assembled
from dynvit.report.boards import Board, from_version_1
from dynvit.report.build import build, entries_of, group
from dynvit.report.run_data import RunData, read_run

Kinds = Mapping[str, type[Measurement[Any, Any, Any]]]
_ENTRIES, _METHODS, _SAID, _SKIPPED, _SEED = "entries", "methods", "measurements", "skipped", "training_seed"
_OF_OTHERS = {"on_front", "on_method_front", "against_dense"}
# What the runs do not say, or what is held against the entries: see dynvit.report.rederive.
_ELSEWHERE = (_ENTRIES, _METHODS, _SAID, "schema_version", "generated", "paper", "setting", "sha256")


def of_runs(file: Path, beside: Place, board: Board, places: Mapping[str, str]) -> Iterator[Contradiction]:
    """Every number of a board that the runs beside it do not give. ``places``: of the records, by id."""
    run = read_run(beside)
    groups = group(run.records)
    if board.setting not in groups:
        nearest = next(iter(groups), None)
        must = nearest.model_dump(mode="json") if nearest else {}
        yield from differences(board.setting.model_dump(mode="json"), must, f"of {RUNS}", "setting")
        return
    known = {record.record_id for record in groups[board.setting]}
    if beside.is_published and any(entry.record_id not in known for entry in board.entries):
        made = assembled(run.only(groups[board.setting]), [board], "")
        places = {entry.record_id: "itself" for entry in board.entries} | dict(places)
    else:
        made = build(run.only(groups[board.setting]), papers=board.paper)
    body = json.loads(file.read_bytes())
    stored, must = from_version_1(body) if body["schema_version"] == 1 else body, made.model_dump(mode="json")
    yield from equal("generated.date_utc", board.generated.date_utc, made.generated.date_utc, "the newest record's")
    yield from differences(_without(stored, *_ELSEWHERE), _without(must, *_ELSEWHERE), f"of {RUNS}")
    # A board of before the bootstrap has none.
    yield from differences(stored[_METHODS], must[_METHODS], f"of {RUNS}", _METHODS, older=True)
    yield from _of_entries(stored[_ENTRIES], must[_ENTRIES], places)


def of_lines(board: Board, run: RunData, places: Mapping[str, str]) -> Iterator[Contradiction]:
    """Every number of an entry that its own lines do not give; what the others say of it is left out.

    Args:
        board: its entries.
        run: the lines beside it.
        places: of the records, by id.
    """
    reported = [record for record in run.records if record.role == "report"]
    must = {entry.record_id: entry for entry in entries_of(reported, run)}
    kinds = measurements.load_all()
    for place, entry in enumerate(board.entries):
        if entry.record_id in must and entry != must[entry.record_id]:
            left_out = _OF_OTHERS if len(must) < len(board.entries) else set()
            got, made = (one.model_dump(mode="json", exclude=left_out) for one in (entry, must[entry.record_id]))
            for found in _of_entry(got, made, places[entry.record_id], kinds):
                yield found.within(f"{_ENTRIES}.{place}")


def _of_entries(
    stored: list[dict[str, Any]], must: list[dict[str, Any]], places: Mapping[str, str]
) -> Iterator[Contradiction]:
    expected = {entry["record_id"]: entry for entry in must}
    kinds = measurements.load_all()
    for place, entry in enumerate(stored):
        record_id = entry["record_id"]
        if record_id not in expected:
            yield Contradiction(f"{_ENTRIES}.{place}.record_id", f"name a record of {RUNS} that reports", record_id)
            continue
        for found in _of_entry(entry, expected.pop(record_id), places[record_id], kinds):
            yield found.within(f"{_ENTRIES}.{place}")
    for record_id in expected:
        yield Contradiction(_ENTRIES, f"hold the record {record_id} ({places[record_id]})", "none: run the bench again")


def _of_entry(entry: dict[str, Any], must: dict[str, Any], where: str, kinds: Kinds) -> Iterator[Contradiction]:
    others = (_SAID, _SKIPPED) if _SEED in entry else (_SAID, _SKIPPED, _SEED)  # older boards have none
    yield from differences(_without(entry, *others), _without(must, *others), where)
    # Why a measurement that is not here was skipped, nobody here can tell.
    got, made = ({k: v for k, v in (one.get(_SKIPPED) or {}).items() if k in kinds} for one in (entry, must))
    yield from differences(got, made, where, _SKIPPED, older=_SKIPPED not in entry)
    for name, kind in kinds.items():
        got, made = ({k: v for k, v in one[_SAID].items() if k == name} for one in (entry, must))
        if got and made:
            got, made = ({name: _without(one[name], *kind.judgements)} for one in (got, made))
            yield from differences(got, made, f"of {name}.jsonl", _SAID, older=True)
        else:
            yield from differences(got, made, f"of {name}.jsonl", _SAID)


def _without(body: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in body.items() if key not in keys}
