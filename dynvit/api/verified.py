"""A board or a run's folder held to what is measured now."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from dynvit.api.found_weights import Weights
from dynvit.api.training_again import trained_again
from dynvit.api.verifying import Absent, Asked, Other, again
from dynvit.errors import InputError
from dynvit.leaderboard.board import Entry
from dynvit.leaderboard.naming import point_names, short_ids
from dynvit.leaderboard.place import Place
from dynvit.leaderboard.tiers import Evidence
from dynvit.leaderboard.verification import VERIFIED, Verification, VerificationStore, agreement
from dynvit.report import Board
from dynvit.report.evidence import evidence_of
from dynvit.report.found import boards_in, checked

MadeBy = Callable[[str], dict[str, Any]]


def verified(
    path: Path,
    entries: Sequence[str],
    places: Sequence[Path],
    asked: Asked,
    *,
    write: bool = False,
    made_by: MadeBy | None = None,
    trained: Path | None = None,
) -> Iterator[tuple[str, bool]]:
    """A line for each entry, and whether it agrees.

    Args:
        path: a published board, or a run's folder.
        entries: beginnings of ids; empty: all.
        places: where weights may lie.
        asked: how it is measured.
        write: whether to add what was measured to ``verified.jsonl``.
        made_by: the options of the command that made a record: what is not found is trained again; None: it is not.
        trained: where that is kept; None: nowhere.

    Raises: ``InputError`` for wrong input, and for files that contradict themselves: these are not measured at all.
    """
    board, evidence, place = _published(path)
    chosen = _chosen(board, entries, path)
    weights = Weights.beside(place, places)
    ids, names = short_ids(entry.record_id for entry in board.entries), point_names(board)
    records = [evidence.records[entry.record_id] for entry in chosen if entry.record_id in evidence.records]
    by_id = {entry.record_id: entry for entry in chosen}
    done: list[Verification | Absent] = [
        Absent(name, f"its record is not published ({place.runs.name})")
        for name in by_id
        if name not in evidence.records
    ]
    with ExitStack() as until_done:
        store = until_done.enter_context(VerificationStore(place.file(VERIFIED))) if write else None
        lost = []
        for found in chain(done, again(records, weights, asked)):
            if isinstance(found, Absent) and made_by is not None and found.record_id in evidence.records:
                lost.append(evidence.records[found.record_id])
                continue
            yield _said(found, by_id, evidence, store, ids, names)
        if lost and made_by is not None:
            folder = trained or Path(until_done.enter_context(TemporaryDirectory(prefix="dynvit-")))
            for command in dict.fromkeys(record.command for record in lost):
                own = [record for record in lost if record.command == command]
                for result in trained_again(own, made_by(command), folder, asked):
                    yield _said(result, by_id, evidence, store, ids, names)


def _published(path: Path) -> tuple[Board, Evidence, Place]:
    for _ in checked(path):
        pass
    boards = boards_in(path)
    if len(boards) != 1:
        raise InputError(f"{path} holds {len(boards)} boards: verify one")
    place = Place.of_evidence(path)
    file = path if path.suffix == ".json" else place.board
    if not file.is_file():
        raise InputError(f"{path} has no {file.name}: run `dynvit bench` to its end first")
    return boards[0], evidence_of(file), place


def _chosen(board: Board, wanted: Sequence[str], path: Path) -> list[Entry]:
    chosen: dict[str, Entry] = {}
    for start in wanted:
        found = [entry for entry in board.entries if start and entry.record_id.startswith(start)]
        if len(found) != 1:
            what = "no entry" if not found else f"{len(found)} entries"
            raise InputError(f"--entry {start!r}: {what} of {path} begin with it; dynvit show {path} lists them")
        chosen[found[0].record_id] = found[0]
    return list(chosen.values()) or list(board.entries)


def _said(
    found: Verification | Absent | Other,
    entries: Mapping[str, Entry],
    evidence: Evidence,
    store: VerificationStore | None,
    ids: Mapping[str, str],
    names: Mapping[str, str],
) -> tuple[str, bool]:
    """The line of an entry; what was measured is kept."""
    name = found.record_id
    head = f"{ids[name]} {entries[name].method} {names[name]}"
    if isinstance(found, Absent):
        return f"{head}: not measured: {found.why}", False
    if isinstance(found, Other):
        return f"{head}: DIFFERS: {found.what}", False
    if store is not None:
        store.append(found)
    kept, record, sd = (where.get(name) for where in (evidence.per_sample, evidence.records, evidence.seed_sd))
    result = agreement(found, entries[name], kept, record, sd)  # type: ignore[arg-type]
    return f"{head}: {'agrees' if result.holds else 'DIFFERS'}: {result.said}", result.holds
