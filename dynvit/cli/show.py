"""``dynvit show`` and ``dynvit validate``: look at results, and check files that claim to be some."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dynvit.errors import InputError

if TYPE_CHECKING:
    from dynvit.leaderboard.board import Leaderboard
    from dynvit.leaderboard.record import Record


def show(
    path: Annotated[Path, typer.Argument(help="A bench's output folder, its runs.jsonl, or a leaderboard.json.")],
    render: Annotated[
        bool, typer.Option("--render", help="Write front.png, front.svg and front.csv again, beside the file.")
    ] = False,
) -> None:
    """Print the table of a finished or running bench, and draw its picture again."""
    from rich.console import Console

    from dynvit.leaderboard.printing import print_board

    boards, console = _boards(path), Console(highlight=False)
    for board in boards:
        print_board(board, console)
    if render:
        from dynvit.leaderboard.pictures import write_pictures

        folder = path if path.is_dir() else path.parent
        if len(boards) > 1:
            raise InputError(f"{path} holds {len(boards)} settings: --render takes a file with one")
        for picture in write_pictures(boards[0], folder):
            typer.echo(str(picture))


def validate(
    paths: Annotated[list[Path], typer.Argument(help="runs.jsonl and leaderboard.json files, or folders of them.")],
) -> None:
    """Check every line and every number against the schema; the first fault ends it with exit code 2."""
    from dynvit.leaderboard.board import read_board

    for path in paths:
        for file in _files(path):
            if file.suffix == ".jsonl":
                typer.echo(f"{file}: {_lines(file)}, all valid")
            else:
                typer.echo(f"{file}: {len(read_board(file).entries)} entries, all valid")


def _boards(path: Path) -> list[Leaderboard]:
    from dynvit.leaderboard.board import read_board
    from dynvit.leaderboard.build import build, group
    from dynvit.leaderboard.per_sample import read_per_sample
    from dynvit.measurements.robustness.masking import with_findings

    if path.suffix == ".json":
        return [read_board(path)]
    runs = path / "runs.jsonl" if path.is_dir() else path
    if path.is_dir() and not runs.exists():
        return [read_board(file) for file in _files(path)]
    groups = group(with_findings(_records(runs)))
    if not groups:
        raise InputError(f"{runs} reports no point yet: run `dynvit bench` to its end, then show it")
    answers = read_per_sample(runs)
    return [build(records, command=f"dynvit show {path.name}", answers=answers) for records in groups.values()]


def _records(file: Path) -> list[Record]:
    from dynvit.leaderboard.follow_up import read_run

    if not file.is_file():
        raise InputError(f"no file {str(file)!r}: give a bench's output folder, its runs.jsonl, or a leaderboard.json")
    return read_run(file)


def _lines(file: Path) -> str:
    """How many lines of which kind a file holds; each was checked."""
    from dynvit.leaderboard.follow_up import ROBUSTNESS, SPEED, RobustnessStore, SpeedStore
    from dynvit.leaderboard.per_sample import ANSWERS, PerSampleStore

    if file.is_file() and file.name == ROBUSTNESS:
        return f"{len(RobustnessStore(file).read())} attacks"
    if file.is_file() and file.name == SPEED:
        return f"{len(SpeedStore(file).read())} timings"
    if file.is_file() and file.name == ANSWERS:
        return f"answers of {len(PerSampleStore(file).read())} records"
    return f"{len(_records(file))} records"


def _files(path: Path) -> list[Path]:
    """The result files that ``path`` names: itself, a bench's own, or every board of a published folder."""
    if not path.is_dir():
        return [path]
    names = ("runs.jsonl", "robustness.jsonl", "speed.jsonl", "answers.jsonl", "leaderboard.json")
    bench = [path / name for name in names if (path / name).exists()]
    found = bench or sorted(path.glob("*.json"))
    if not found:
        raise InputError(f"no results in {str(path)!r}: give a bench's output folder, its runs.jsonl, or a board")
    return found
