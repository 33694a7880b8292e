"""Which cells of a bench are done: what is asked for is asked for again, and nothing of it is begun."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from dynvit.benchmark.cells import BUDGETS, SEARCH, TRAIN, Cell
from dynvit.benchmark.common import known_budgets
from dynvit.benchmark.config import TRAINED
from dynvit.benchmark.folder import TRIALS
from dynvit.benchmark.run import Bench
from dynvit.benchmark.trained import trained
from dynvit.checkpoint import is_checkpoint
from dynvit.files import write_whole

CELLS = "cells"
"""Where the folders of cells lie, in the bench's."""
_DONE = "done"


def folder_of_cell(bench: Bench, cell: Cell) -> Path:
    """Where the lines of a cell go."""
    return bench.folder / CELLS / cell.folder


def is_done(bench: Bench, cell: Cell) -> bool:
    """Whether a cell was done as the bench asks for it now, with what is trained there now."""
    if cell.kind == TRAIN:
        return is_checkpoint(bench.folder / TRAINED / cell.label)
    if cell.kind == BUDGETS:
        return known_budgets(bench) is not None
    file = folder_of_cell(bench, cell) / f"{cell.folder}.{_DONE}"
    return file.is_file() and file.read_bytes().strip() == _key(bench, cell).encode()


def mark_done(bench: Bench, cell: Cell, folder: Path) -> None:
    """Say in its folder that a measuring cell is done."""
    if cell.measures:
        write_whole(folder / f"{cell.folder}.{_DONE}", f"{_key(bench, cell)}\n".encode())


def _key(bench: Bench, cell: Cell) -> str:
    """A hash of all that the cell's results depend on."""
    asked = [one.settings.model_dump(mode="json") for one in bench.measurements if one.name == cell.kind]
    made = dict(bench.identity)
    if cell.kind == SEARCH:
        del made[TRIALS]  # a trial is the same, however many follow
    body = [made, trained(bench.folder, bench.preparation), cell.name, asked]
    return hashlib.sha256(json.dumps(body, sort_keys=True, default=str).encode()).hexdigest()
