"""Result files as people name them: a file, a run's folder, a folder of boards."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

from dynvit.errors import InputError, and_more
from dynvit.leaderboard.board import BOARD_VERSION
from dynvit.leaderboard.digest import has_digest
from dynvit.leaderboard.per_sample import PER_SAMPLE, VERSION_1, PerSampleStore
from dynvit.leaderboard.place import BOARD, Place
from dynvit.leaderboard.store import RUNS, RunStore
from dynvit.leaderboard.verification import VERIFIED, VerificationStore
from dynvit.measurements.base import measurements
from dynvit.reading import open_regular, read_json
from dynvit.report.board_validation import edited_board, faults_of_board
from dynvit.report.boards import Board, read_board
from dynvit.report.build import build, group
from dynvit.report.run_data import read_run
from dynvit.report.validation import Fault, faults_of_file, faults_of_run


def boards_in(path: Path) -> list[Board]:
    """Every board that a path holds: one for each setting of a run, one for each file of a folder.

    Raises: ``InputError`` where there is none.
    """
    if path.suffix == ".json":
        return [read_board(path)]
    if path.is_dir() and not (path / RUNS).exists():
        return [read_board(file) for file in files_in(path) if file.suffix == ".json"]
    run = read_run(path)
    groups = group(run.records)
    if not groups:
        raise InputError(f"{path} reports no point yet: run `dynvit bench` to its end, then show it")
    return [build(run.only(records), command=f"dynvit show {path.name}") for records in groups.values()]


def checked(path: Path) -> Iterator[str]:
    """One line for each valid file, and one for each number that does not follow from the rest.

    Raises: ``InputError`` at the first line that cannot be read, with file and line; at the end where a number does not
    follow.
    """
    files = files_in(path)
    counts = {file: _lines(file) if file.suffix == ".jsonl" else _entries(file) for file in files}
    faults = [fault for fault in dict.fromkeys(_faults(files)) if any(fault.concerns(file) for file in files)]
    yield from map(str, faults)
    for file in files:
        if file.suffix != ".jsonl" and faults and all(fault.file != file for fault in faults):
            yield f"{file}: {counts[file]}, not held against lines that are wrong"
        elif not any(fault.file == file or len(files) == 1 for fault in faults):
            yield f"{file}: {counts[file]}, all valid"
    if faults:
        raise InputError(f"{faults[0]}{and_more(faults)}: restore the files from a copy, or measure again")


def warn_of_contradictions(path: Path) -> None:
    """A warning where a number in the files does not follow from the rest: what is shown of them may be wrong.

    Raises: as ``checked``.
    """
    faults = list(dict.fromkeys(_shown_faults(path)))
    if faults:
        warnings.warn(f"{faults[0]}{and_more(faults)}: `dynvit validate {path}` names every fault", stacklevel=2)


def trusted_board(path: str | os.PathLike[str]) -> Board:
    """The board in a file, with a warning where it was edited since it was written, or contradicts itself.

    Raises: ``InputError`` where the file is missing or is no board.
    """
    board = read_board(path)
    warn_of_contradictions(Path(path))
    return board


def convert_boards(path: Path) -> Iterator[str]:
    """Rewrite boards of version 1, one line for each file. Raises: ``InputError`` where there is no board."""
    boards = [file for file in files_in(path) if file.suffix == ".json"]
    if not boards:
        what = "no board in" if path.is_dir() else "not a board:" if path.exists() else "no file"
        raise InputError(f"{what} {str(path)!r}: give a leaderboard.json, or a folder that holds boards")
    for file in boards:
        board = read_board(file)
        version = read_json(file, "board").get("schema_version")
        if version == BOARD_VERSION:
            yield f"{file}: version {version} already"
        else:
            board.write(file)
            yield f"{file}: version {version} is now {BOARD_VERSION}"


def files_in(path: Path) -> list[Path]:
    """The result files that ``path`` names: itself, a bench's own, or every board of a folder with its lines."""
    if not path.is_dir():
        return [path]
    bench = [path / name for name in (*_of_a_bench(), BOARD) if (path / name).exists()]
    found = bench or [file for board in sorted(path.glob("*.json")) for file in (board, *_lines_of(Place.of(board)))]
    if not found:
        raise InputError(f"no results in {str(path)!r}: give a bench's output folder, its {RUNS}, or a board")
    return found


def _shown_faults(path: Path) -> Iterator[Fault]:
    """What is wrong with what is shown of a path: a board beside the lines of a run may be older, and is not."""
    shown = path / RUNS if path.is_dir() else path
    if shown.name == RUNS and shown.is_file():
        yield from faults_of_run(Place(shown.parent))
        return
    for file in files_in(path):
        if file.suffix == ".jsonl":
            continue
        # A digest tells all, and at once; an older board is derived again.
        body = read_json(file, "board")
        yield from edited_board(file, body) if has_digest(body) else _faults([file])


def _faults(files: Sequence[Path]) -> Iterator[Fault]:
    """What contradicts itself in the files, or between them and those beside them.

    A board is held against the runs beside it where these do not contradict themselves.
    """
    of_place: dict[Place, list[Fault]] = {}
    for file in sorted(files, key=lambda file: file.suffix != ".jsonl"):
        place = Place.of_evidence(file)
        known = _lines_of(place) if place.is_published or place.runs.is_file() else []
        if known and place not in of_place:
            of_place[place] = list(faults_of_run(place))
        if file.suffix != ".jsonl":
            yield from faults_of_board(file, place if known and not of_place[place] else None)
        elif file in known:
            yield from of_place[place]
        else:
            kind = _kind_of(file)
            yield from faults_of_file(file, None if kind is None else measurements.get(kind))


def _lines_of(place: Place) -> list[Path]:
    """The files with lines of a run or of a published board."""
    return [file for file in map(place.file, _of_a_bench()) if file.exists()]


def _of_a_bench() -> tuple[str, ...]:
    return (RUNS, *(f"{name}.jsonl" for name in measurements.names()), VERSION_1, PER_SAMPLE, VERIFIED)


def _entries(file: Path) -> str:
    return f"{len(read_board(file).entries)} entries"


def _lines(file: Path) -> str:
    """How many lines of which kind a file holds; each was checked."""
    if not file.is_file():
        raise InputError(f"no file {str(file)!r}: give a bench's output folder, its {RUNS}, or a leaderboard.json")
    name = file.name.removeprefix(Place.of(file).prefix)
    if name in (PER_SAMPLE, VERSION_1):
        return f"per-sample results of {len(PerSampleStore(file).read())} records"
    if name == VERIFIED:
        return f"{len(VerificationStore(file).read())} measured again"
    kind = _kind_of(file)
    if kind is not None:
        return f"{len(measurements.get(kind).store(file).read())} {kind} measurements"
    return f"{len(RunStore(file).read())} records"


def _kind_of(file: Path) -> str | None:
    """The measurement whose lines a file holds, by its name, else by what its first line says; None: records."""
    stem = file.stem.removeprefix(Place.of(file).prefix)
    if stem in measurements.names():
        return stem
    with open_regular(file, "results") as lines:
        try:
            first = json.loads(lines.readline() or b"null")
        except (ValueError, RecursionError):
            return None
    config = first.get("config") if isinstance(first, dict) else None
    if not isinstance(config, dict):
        return None
    for name, kind in measurements.load_all().items():
        if kind.recognises(config) or config.get("measurement") == name:
            return name
    return None
