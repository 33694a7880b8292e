"""Folders and boards joined into one: whole or not at all, by one process at a time, again without a change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dynvit.errors import InputError, and_more
from dynvit.files import locked, write_together
from dynvit.leaderboard.contradiction import differences
from dynvit.leaderboard.place import Place
from dynvit.report.assembling import assembled
from dynvit.report.beside import of_lines
from dynvit.report.board_validation import faults_within
from dynvit.report.boards import Board, read_board
from dynvit.report.joining import joined, run_data, texts
from dynvit.report.placed import PlacedRun, read_placed
from dynvit.report.validation import Fault, contradictions_in

PATIENCE_S = 60.0
"""How long one merge waits for another into the same place."""
MERGED = "dynvit merge"


@dataclass(frozen=True)
class Source:
    """What a path holds: lines, and a board where it is one. ``place`` is where the lines lie."""

    path: Path
    place: Place
    lines: PlacedRun
    board: Board | None

    @property
    def commands(self) -> set[str]:
        """What made it: of a bench that was done in parts, the command of the board in its folder."""
        if self.board is not None:
            return {self.board.generated.command}
        made = {line.line.command for line in self.lines.records}
        if len(made) > 1 and not self.place.is_published and self.place.board.is_file():
            return {read_board(self.place.board).generated.command}
        return made


@dataclass(frozen=True)
class Merged:
    """What a merge came to. ``added``: ids that the output did not have; ``changed``: its files that were written."""

    board: Board
    added: tuple[str, ...]
    changed: tuple[Path, ...]


def read_source(path: Path) -> Source:
    """A run's folder, its ``runs.jsonl``, or a board with the lines beside it.

    Raises: ``InputError`` where there is none, and for every number in it that does not follow from the rest.
    """
    place = Place.of_evidence(path)
    is_board = path.suffix == ".json" or (path.is_dir() and not place.runs.is_file() and place.board.is_file())
    if not is_board and (not place.runs.is_file() or not (path.is_dir() or path == place.runs)):
        raise InputError(f"no results in {str(path)!r}: give a bench's output folder, its runs.jsonl, or a board")
    file = place.board if path.is_dir() else path
    board = read_board(file) if is_board else None
    lines = read_placed(place)
    faults = list(contradictions_in(lines)) or (_faults_of(file, board, lines) if board is not None else [])
    if faults:
        raise InputError(f"{faults[0]}{and_more(faults)}: restore the files from a copy, or measure again")
    return Source(path, place, lines, board)


def _faults_of(file: Path, board: Board, lines: PlacedRun) -> list[Fault]:
    """What a board says against itself, and against the lines beside it."""
    places = {line.key: line.where for line in lines.records}
    of_lines_beside = (Fault(file, f": {found}") for found in of_lines(board, run_data(lines), places))
    return list(faults_within(file, board)) or list(of_lines_beside)


def merge(paths: Sequence[Path], output: Path, *, reporting: bool = False, write: bool = True) -> Merged:
    """Join folders and boards into ``output``, and into what lies there already.

    Args:
        paths: a bench's folders, their runs.jsonl, or boards.
        output: NAME.json, a board with its lines beside it; else a folder.
        reporting: leave out the trials of searches, which no board holds.
        write: whether to; else only what would come of it is said.

    Raises: ``InputError`` for what cannot be read, contradicts itself or another, or is of another setting.
    """
    sources = [read_source(path) for path in paths]
    place = Place.of(output) if output.suffix == ".json" else Place(output)
    if write and not place.folder.is_dir():
        _together(sources, reporting)  # what is refused leaves no folder behind
    if not write:
        return _merged(sources, place, reporting, write=False)
    with locked(place.folder, PATIENCE_S):
        return _merged(sources, place, reporting, write=True)


def _merged(sources: Sequence[Source], place: Place, reporting: bool, *, write: bool) -> Merged:
    there = _there(place)
    known = {entry.record_id for entry in there.board.entries} if there is not None and there.board else set()
    if there is not None:
        known |= {line.key for line in there.lines.records}
    run, board = _together([*([there] if there else []), *sources], reporting)
    # A board of the same entries stays as it is, whoever wrote it.
    same = there is not None and there.board is not None and _same(there.board, board)
    contents = {place.file(name): text for name, text in texts(run)}
    if not same:
        contents[place.board] = board.content()
    changed = {path: text for path, text in contents.items() if not path.is_file() or path.read_bytes() != text}
    if write:
        write_together(changed)
    added = tuple(entry.record_id for entry in board.entries if entry.record_id not in known)
    return Merged(board, added, tuple(changed))


def _there(place: Place) -> Source | None:
    """What the output holds already; a folder's board is built anew from its lines, and kept where it is the same."""
    if place.is_published:
        return read_source(place.board) if place.board.is_file() else None
    if not place.runs.is_file():
        return read_source(place.folder) if place.board.is_file() else None
    source = read_source(place.folder)
    board = read_board(place.board) if place.board.is_file() else None
    return Source(source.path, place, source.lines, board)


def _together(sources: Sequence[Source], reporting: bool) -> tuple[PlacedRun, Board]:
    run = joined(source.lines for source in sources)
    if reporting:
        kept = {line.key for line in run.records if line.line.role == "report"}
        run = run.only(kept | {e.record_id for source in sources if source.board for e in source.board.entries})
    commands = {command for source in sources for command in source.commands}
    command = commands.pop() if len(commands) == 1 else MERGED
    boards = [_without_lines(source.board, source.lines) for source in sources if source.board is not None]
    return run, assembled(run_data(run), boards, command)


def _without_lines(board: Board, lines: PlacedRun) -> Board:
    """The board with the entries that have no record: the others say nothing that their lines do not."""
    known = {line.key for line in lines.records}
    return board.model_copy(update={"entries": tuple(e for e in board.entries if e.record_id not in known)})


def _same(one: Board, other: Board) -> bool:
    """Whether they say the same, but for the rounding of another machine."""
    if len(one.entries) != len(other.entries):
        return False
    got, must = (board.model_dump(mode="json", exclude={"generated"}) for board in (one, other))
    return got == must or next(differences(got, must, ""), None) is None
