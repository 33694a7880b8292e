"""Boards as they were published, of this version and of the first."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from dynvit.errors import InputError
from dynvit.errors import first_fault
from dynvit.leaderboard.board import BOARD_VERSION, Leaderboard
from dynvit.measurements.base import measurements

_MOVED = ("speed", "corruption", "robust", "slowdown", "findings")


def read_board(path: str | os.PathLike[str]) -> Leaderboard:
    """The board in a file; one of version 1 is read as one of version 2.

    Raises: ``InputError`` where the file is missing or is no board.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    try:
        body = json.loads(content)
    except ValueError as error:
        raise InputError(f"{path} is not a leaderboard: it is not JSON ({error})") from error
    try:
        if isinstance(body, dict) and body.get("schema_version") == 1:
            content = json.dumps(from_version_1(body)).encode()
        board = Leaderboard.model_validate_json(content)
        for kind in measurements.load_all().values():
            kind.of(board)  # a summary that is none is found here
    except ValidationError as error:
        raise InputError(f"{path} is not a leaderboard: {first_fault(error)}; build it again from runs.jsonl") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is not a leaderboard of version 1: {error!r} is missing or of another type") from error
    return with_overviews(board)


def from_version_1(body: dict[str, Any]) -> dict[str, Any]:
    """A board of version 1 in today's form: what each measurement said stands under its name."""
    entries = []
    for entry in body["entries"]:
        said = {name: kind.entry_from_version_1(entry) for name, kind in measurements.load_all().items()}
        kept = {name: value for name, value in entry.items() if name not in _MOVED}
        entries.append(kept | {"measurements": {name: value for name, value in said.items() if value is not None}})
    kept = {name: value for name, value in body.items() if name != "robust_fronts"}
    return kept | {"schema_version": BOARD_VERSION, "entries": entries}


def with_overviews(board: Leaderboard) -> Leaderboard:
    """The board with what each measurement says of all entries together."""
    said = {name: kind.overview(board.entries, board) for name, kind in measurements.load_all().items()}
    found = {name: one.model_dump(mode="json") for name, one in said.items() if one is not None}
    return board.model_copy(update={"measurements": board.measurements | found})
