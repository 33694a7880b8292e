"""What lies beside a board, checked: from it the tier of each entry follows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from dynvit.leaderboard.board import Leaderboard
from dynvit.leaderboard.contradiction import Contradiction
from dynvit.leaderboard.digest import is_edited
from dynvit.leaderboard.per_sample import PER_SAMPLE
from dynvit.leaderboard.place import Place
from dynvit.leaderboard.tiers import Evidence, Standing, tier
from dynvit.leaderboard.verification import Verification
from dynvit.reading import read_json
from dynvit.report.beside import of_runs
from dynvit.report.boards import Board, read_board
from dynvit.report.found import files_in
from dynvit.report.placed import PlacedRun, read_placed, standing
from dynvit.report.rederive import of_board, of_evidence
from dynvit.report.validation import contradictions_in


def evidence_of(file: Path, board: Board | None = None) -> Evidence:
    """What lies beside a published board, every number of it derived again. ``board``: what the file holds.

    Raises: ``InputError`` where something beside it cannot be read.
    """
    board = board or read_board(file)
    place = Place.of_evidence(file)
    run = read_placed(place)
    if not run.every():
        return Evidence()
    again: dict[str, list[Verification]] = {}
    for line in run.again:
        if not line.edited:
            again.setdefault(line.line.record_id, []).append(line.line)
    return Evidence(
        records={line.key: line.line for line in run.records},
        per_sample={line.key: line.line for line in run.per_sample},
        again=again,
        contradicted=frozenset(_contradicted(file, board, place, run)),
        seed_sd={name: spread.top1_sd_pct for spread in board.seeds for name in spread.record_ids},
    )


def standings_in(path: Path) -> dict[str, Standing]:
    """The standing of each entry of a published board, or of a folder of them, by record id.

    Empty for a run's folder: what nobody has sent in yet has no tier.
    Raises: as ``evidence_of``.
    """
    files = [path] if path.suffix == ".json" else files_in(path) if path.is_dir() else []
    found: dict[str, Standing] = {}
    for file in files:
        if file.suffix == ".json" and Place.of(file).is_published:
            board = read_board(file)
            evidence = evidence_of(file, board)
            found |= {entry.record_id: tier(entry, evidence) for entry in board.entries}
    return found


def _contradicted(file: Path, board: Board, place: Place, run: PlacedRun) -> Iterator[str]:
    """The entries of which some number does not follow; all of them where the board itself was edited."""
    everything = [entry.record_id for entry in board.entries]
    if is_edited(read_json(file, "board")):
        yield from everything
        return
    yield from _named(of_board(board), board)
    ids: dict[tuple[Path, int | None], str] = {
        (line.file, line.number): getattr(line.line, "record_id", line.key) for line in run.every()
    }
    faults = list(contradictions_in(run))
    yield from (ids[fault.file, fault.line] for fault in faults if (fault.file, fault.line) in ids)
    if not run.records:
        kept = {line.key: line.line for line in run.per_sample}
        yield from _named(of_evidence(board, kept, place.file(PER_SAMPLE).name), board)
    elif not faults:
        places = {key: line.where for key, line in standing(run.records).items()}
        yield from _named(of_runs(file, place, board, places), board)


def _named(found: Iterable[Contradiction], board: Leaderboard) -> Iterator[str]:
    """The entry that each contradiction is of; all of them, where it is of what they are measured against."""
    for one in found:
        first, *rest = one.at.split(".")
        if first == "entries" and rest and rest[0].isdigit():
            yield board.entries[int(rest[0])].record_id
        elif first in ("setting", "objectives"):
            yield from (entry.record_id for entry in board.entries)
