"""Result files as people name them: a file, a run's folder, a folder of boards."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from dynvit.errors import InputError
from dynvit.leaderboard.board import BOARD_VERSION
from dynvit.leaderboard.per_sample import PER_SAMPLE, VERSION_1, PerSampleStore
from dynvit.leaderboard.store import RUNS, RunStore
from dynvit.measurements.base import measurements
from dynvit.reading import open_regular, read_json
from dynvit.report.boards import Board, read_board
from dynvit.report.build import build, group
from dynvit.report.run_data import read_run


def boards_in(path: Path) -> list[Board]:
    """Every board that a path holds: one for each setting of a run, one for each file of a folder.

    Raises: ``InputError`` where there is none.
    """
    if path.suffix == ".json":
        return [read_board(path)]
    if path.is_dir() and not (path / RUNS).exists():
        return [read_board(file) for file in files_in(path)]
    run = read_run(path)
    groups = group(run.records)
    if not groups:
        raise InputError(f"{path} reports no point yet: run `dynvit bench` to its end, then show it")
    return [build(run.only(records), command=f"dynvit show {path.name}") for records in groups.values()]


def checked(path: Path) -> Iterator[str]:
    """One line for each valid file. Raises: ``InputError`` at the first fault, with file and line."""
    for file in files_in(path):
        if file.suffix == ".jsonl":
            yield f"{file}: {_lines(file)}, all valid"
        else:
            yield f"{file}: {len(read_board(file).entries)} entries, all valid"


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
    """The result files that ``path`` names: itself, a bench's own, or every board of a published folder."""
    if not path.is_dir():
        return [path]
    names = (RUNS, *(f"{name}.jsonl" for name in measurements.names()), VERSION_1, PER_SAMPLE, "leaderboard.json")
    bench = [path / name for name in names if (path / name).exists()]
    found = bench or sorted(path.glob("*.json"))
    if not found:
        raise InputError(f"no results in {str(path)!r}: give a bench's output folder, its {RUNS}, or a board")
    return found


def _lines(file: Path) -> str:
    """How many lines of which kind a file holds; each was checked."""
    if not file.is_file():
        raise InputError(f"no file {str(file)!r}: give a bench's output folder, its {RUNS}, or a leaderboard.json")
    if file.name in (PER_SAMPLE, VERSION_1):
        return f"per-sample results of {len(PerSampleStore(file).read())} records"
    kind = _kind_of(file)
    if kind is not None:
        return f"{len(measurements.get(kind).store(file).read())} {kind} measurements"
    return f"{len(RunStore(file).read())} records"


def _kind_of(file: Path) -> str | None:
    """The measurement whose lines a file holds, by its name, else by what its first line says; None: records."""
    if file.stem in measurements.names():
        return file.stem
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
