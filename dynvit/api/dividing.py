"""A bench in parts: what it consists of, and one of its parts done."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dynvit.benchmark.cells import BenchShare, Cell, cells_of, find_cell
from dynvit.benchmark.done import is_done
from dynvit.benchmark.expected import expected
from dynvit.benchmark.parts import Part, cell_part, share_of
from dynvit.benchmark.run import Bench
from dynvit.errors import InputError
from dynvit.processes import fit_threads
from dynvit.progress import clock, counted
from dynvit.report import Board

TASK, COUNT = "SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT"


def share_asked(given: str | None, environment: Mapping[str, str] = os.environ) -> BenchShare | None:
    """The share that is given, else that of the Slurm array which this process is a task of; None without either.

    Raises: ``InputError`` for a share that is none, and for array tasks that are not numbered from 1.
    """
    if given is not None:
        return BenchShare.read(given)
    if TASK not in environment or COUNT not in environment:
        return None
    return BenchShare.read(f"{environment[TASK]}/{environment[COUNT]}")


def part_asked(share: str | None, cell: str | None, *, fresh: bool, storage: bool = False) -> bool:
    """Whether a part of a bench is asked for, and not the whole.

    Args:
        share: the share that is asked for, as it was given.
        cell: the cell.
        fresh: whether a new folder is.
        storage: whether a storage is.

    Raises: ``InputError`` for a share that is none, for a share of a cell, and for parts that would not find each
        other's folder, or write into one storage.
    """
    if share is not None and cell is not None:
        raise InputError("--share and --cell each name a part: give one of them")
    asked = cell is not None or share_asked(share) is not None
    if asked and fresh:
        raise InputError("--fresh would make a folder for each part: give all parts one --output in its place")
    if asked and storage:
        raise InputError(
            "--storage is written by one process: leave it out here, and give it when the parts are merged: dynvit "
            "bench without a part measures nothing again, and writes the studies"
        )
    return asked


def part_of(bench: Bench, share: BenchShare | None, cell: str | None) -> Part:
    """A cell of the bench, or a share. Raises: ``InputError`` for a cell that there is not, and for both."""
    if cell is not None:
        return cell_part(bench, find_cell(cell, cells_of(bench)))
    if share is None:
        raise InputError("nothing names a part: give --share I/N, or --cell NAME")
    return share_of(bench, share)


def run_part(part: Part) -> Board | None:
    """Do a part of a bench, or what is missing of it. Returns its board, where it has one."""
    fit_threads(part.bench.session.dense_macs)
    return part.run()


def part_done(part: Part, board: Board | None) -> str:
    """What came of a part, for people."""
    bench, names = part.bench.folder, ", ".join(cell.name for cell in part.cells) or "nothing"
    if board is None:
        return f"{names}: done, in {bench}"
    folders = part.folder.with_name(f"share-*-of-{part.folder.name.rpartition('-')[2]}")
    together = (
        f"{folders} -o {bench}" if part.folder.name.startswith("share-") else f"{part.folder.parent}/* -o {bench}"
    )
    return (
        f"{names}: {counted(len(board.entries), 'point')} in {part.folder}; when all are done: dynvit merge {together}"
    )


def command_words(suite: str | None, given: Mapping[str, Any]) -> list[str]:
    """The command of a bench, from its options as the command line gives them."""
    words = ["dynvit", "bench", *([] if suite is None else ["-C", suite])]
    for name, value in given.items():
        if name == "storage":  # written by one process, and it may hold a password
            continue
        flag = "--" + name.replace("_", "-")
        if isinstance(value, bool):
            words.append(flag if value else f"--no-{flag[2:]}")
        elif isinstance(value, list):
            words += [f"{flag}={item}" for item in value]
        elif isinstance(value, tuple):
            words.append(f"{flag}={','.join(map(str, value))}")
        else:
            words.append(f"{flag}={value}")
    return words


def plan_cells(bench: Bench, words: list[str]) -> dict[str, Any]:
    """The cells of a bench, as JSON has them. ``words`` is the command of the whole; ``seconds`` on this machine."""
    seconds = expected(bench)
    return {
        "folder": str(bench.folder),
        "cells": [_described(cell, seconds[cell.name], is_done(bench, cell), words) for cell in cells_of(bench)],
    }


def cell_lines(plan: Mapping[str, Any]) -> Iterator[str]:
    """The same for people."""
    cells = plan["cells"]
    left = [cell for cell in cells if not cell["done"]]
    for cell in cells:
        took = "" if cell["seconds"] is None else f", about {clock(cell['seconds'])}"
        after = f" after {', '.join(cell['needs'])}" if cell["needs"] else ""
        if cell["done"]:
            yield f"{cell['name']}, done"
        else:
            yield f"{cell['name']}{took}{after}"
            yield f"  {cell['command']}"
    done = f", {len(cells) - len(left)} done" if len(left) < len(cells) else ""
    untold = sum(cell["seconds"] is None for cell in left)
    besides = f" and {counted(untold, 'cell')} of unknown time" if untold else ""
    together = f"{clock(sum(cell['seconds'] or 0 for cell in left))} of work{besides}"
    yield f"{counted(len(cells), 'cell')}{done}; about {together}; output: {Path(plan['folder'])}"


def _described(cell: Cell, seconds: float | None, done: bool, words: list[str]) -> dict[str, Any]:
    return {
        "name": cell.name,
        "kind": cell.kind,
        "model": cell.label or None,
        "needs": list(cell.needs),
        "seconds": None if seconds is None else round(seconds, 3),
        "done": done,
        "command": shlex.join([*words, f"--cell={cell.name}"]),
    }
