"""Boards as they were published, of this version and of the first."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from dynvit.errors import InputError, first_fault, lacks
from dynvit.leaderboard.board import BOARD_VERSION, Leaderboard
from dynvit.leaderboard.naming import point_names
from dynvit.measurements.base import measurements
from dynvit.reading import json_value, path_given, read_bytes
from dynvit.report.terms import without_shared

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

_MOVED = ("speed", "corruption", "robust", "slowdown", "findings")


class Board(Leaderboard):
    """A leaderboard with what a notebook asks of it."""

    def to_dataframe(self, what: str = "front") -> DataFrame:
        """A row an entry, with columns ``MEASUREMENT.KEY`` for what was measured besides and is one number, and with
        ``point``, what it is called.

        With the name of a measurement: all that it measured, such as a row for each point and radius of "robustness".
        Raises: ``InputError`` for another name, or where nothing was measured.
        """
        import pandas as pd

        if what != "front":
            found = measurements.get(what).rows(self)
            if not found:
                raise InputError(f"the board has no rows of {what}: it was not measured, or has none")
            return pd.DataFrame.from_records(list(found))
        rows, names = [], point_names(self)
        for entry in self.entries:
            row = entry.model_dump(exclude={"measurements", "skipped", "against_dense"})
            row["point"] = names[entry.record_id]
            for name, summary in entry.measurements.items():
                row |= {f"{name}.{key}": value for key, value in summary.items() if isinstance(value, int | float)}
            rows.append(row)
        return pd.DataFrame.from_records(rows)

    def __repr__(self) -> str:
        setting, front = self.setting, sum(entry.on_front for entry in self.entries)
        where = f"{setting.dataset} {setting.split}, {setting.n:,} images, {setting.backbone}"
        return f"Board({where}: {len(self.entries)} points, {front} on the front)"

    __str__ = __repr__

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        html: str = self.to_dataframe().to_html()
        return html

    def plot(self, what: str = "front") -> Figure:
        """The picture of the front, or of a measurement by its name.

        Raises: ``InputError`` for another name, or where nothing was measured.
        """
        from dynvit.leaderboard.figure import draw

        if what == "front":
            return draw(self)
        figure = measurements.get(what).figure(self)
        if figure is None:
            raise InputError(f"the board has no picture of {what}: it was not measured, or has none")
        return figure


def read_board(path: str | os.PathLike[str]) -> Board:
    """The board in a file; one of version 1 is read as one of version 2.

    Raises: ``InputError`` where the file is missing or is no board.
    """
    content = read_bytes(path_given(path, "a board"), "board")
    body = json_value(content, f"{path}, which must be a leaderboard,")
    try:
        old = isinstance(body, dict) and body.get("schema_version") == 1
        board = Board.model_validate_json(json.dumps(from_version_1(body)) if old else content)
        for name, kind in measurements.load_all().items():
            kind.of(board)  # a summary that is none is found here
            if kind.Overview is not None:
                board.overview(name, kind.Overview)
    except ValidationError as error:
        raise InputError(
            f"{path} is not a leaderboard: {first_fault(error)}; build it again from runs.jsonl"
        ) from error
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is not a leaderboard of version 1: {lacks(error)}; restore it from a copy") from error
    return board


def from_version_1(body: dict[str, Any]) -> dict[str, Any]:
    """A board of version 1 in today's form: what each measurement said stands under its name."""
    kinds = measurements.load_all()
    entries = []
    for entry in body["entries"]:
        said = {name: kind.entry_from_version_1(entry) for name, kind in kinds.items()}
        kept = {name: value for name, value in entry.items() if name not in _MOVED}
        entries.append(kept | {"measurements": {name: value for name, value in said.items() if value is not None}})
    overviews = {name: kind.overview_from_version_1(body) for name, kind in kinds.items()}
    kept = {name: value for name, value in body.items() if name != "robust_fronts"}
    return kept | {
        "schema_version": BOARD_VERSION,
        "entries": entries,
        "measurements": {name: value for name, value in overviews.items() if value is not None},
    }


def with_overviews(board: Board) -> Board:
    """The board with what each measurement says of all entries together, and without what they share of it."""
    board = board.model_copy(update={"entries": without_shared(board.entries)})
    said = {name: kind.overview(board.entries, board) for name, kind in measurements.load_all().items()}
    found = {name: one.model_dump(mode="json") for name, one in said.items() if one is not None}
    return board.model_copy(update={"measurements": board.measurements | found})
