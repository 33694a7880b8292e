"""``labels.csv``: a row an image, with its class and, where there is such a column, its split."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from dynvit.data.archives import Files, Reader
from dynvit.data.collection import Found, Layout
from dynvit.data.image_kinds import begins_as_image, called_an_image
from dynvit.data.listing import cut, some
from dynvit.data.split_names import spellings_said, split_named
from dynvit.errors import InputError

TABLE = "labels.csv"
_FILE = ("file", "filename", "image", "path")
_LABEL = ("label", "class")
_SPLIT_LIKE = ("set", "subset", "partition", "usage", "phase", "fold")
_SWITCH = re.compile(r"is_?(train|training|val|valid|validation|test)\w*")
_UNNAMED = f"images that no {TABLE} names"


@dataclass(frozen=True)
class _Row:
    place: str
    cells: Mapping[str, str]


@dataclass(frozen=True)
class _Table:
    path: PurePosixPath
    columns: tuple[str, ...]
    rows: tuple[_Row, ...]

    def column(self, names: Sequence[str]) -> str:
        for name in names:
            if name in self.columns:
                return name
        raise InputError(f"{self.path} has no column {' or '.join(names)}, only {some(self.columns, 12)}")


def tables_in(files: Files) -> list[str]:
    """The tables of labels among the files."""
    return [name for name in files if PurePosixPath(name).name.lower() == TABLE]


def read_tables(files: Files, names: Sequence[str], flat_split: str | None, default: str) -> Layout:
    """The images that tables name.

    Args:
        files: of the source.
        names: the tables among them.
        flat_split: the split of rows that name none, where a person gave it.
        default: the split of rows that name none, where nobody did.

    Raises: ``InputError`` with table and line where a row is not an image with a class and a split.
    """
    tables = [_read(files[name](), PurePosixPath(name)) for name in names]
    splits = {table.path: split_named(table.path.parent.name) for table in tables}
    if len(tables) > 1 and (odd := [str(path) for path, split in splits.items() if split is None]):
        raise InputError(
            f"several tables of labels, and {some(odd)} is in no folder of a split: join them into one {TABLE} with a "
            "column split"
        )
    found: list[Found] = []
    seen: dict[str, str] = {}
    for table in tables:
        file_column, label_column = table.column(_FILE), table.column(_LABEL)
        row_splits = _row_splits(table, file_column, splits[table.path], flat_split)
        for row, split in zip(table.rows, row_splits, strict=True):
            place, read = _image(files, table.path, row, row.cells[file_column])
            if place in seen:
                raise InputError(f"{row.place}: {cut(place)} is in {seen[place]} already: an image has one row")
            seen[place] = row.place
            label = row.cells[label_column]
            if not label:
                raise InputError(f"{row.place} gives {cut(row.cells[file_column])} no {label_column}")
            found.append(Found(split or default, label, PurePosixPath(row.cells[file_column]), read, row.place))
    unnamed = [name for name in files if name not in seen and called_an_image(name)]
    return Layout(found, {_UNNAMED: unnamed} if unnamed else {})


def _image(files: Files, table: PurePosixPath, row: _Row, given: str) -> tuple[str, Reader]:
    name = PurePosixPath(given)
    places = [str(table.parent / "images" / name), str(table.parent / name)]
    place = next((place for place in places if place in files), None)
    if place is None or ".." in name.parts or not given:
        raise InputError(f"{row.place} names {cut(given)!r}, which is not among the files of images/")
    if not called_an_image(given) and not begins_as_image(files[place](32)):
        raise InputError(f"{row.place} names {cut(given)}, which is no image that Pillow reads")
    return place, files[place]


def _row_splits(table: _Table, file_column: str, folder: str | None, given: str | None) -> list[str | None]:
    """The split of each row: by its column, by the folder of its image, by the table's folder."""
    if switches := [column for column in table.columns if _SWITCH.fullmatch(column)]:
        raise InputError(f"{table.path} has a column {switches[0]}: write a column split instead, {spellings_said()}")
    column = "split" if "split" in table.columns else next((c for c in _SPLIT_LIKE if c in table.columns), None)
    if column is not None:
        named = [split_named(row.cells[column]) for row in table.rows]
        unknown = [i for i, split in enumerate(named) if split is None]
        if unknown and (column == "split" or len(unknown) < len(named)):
            row = table.rows[unknown[0]]
            raise InputError(
                f"{row.place}: {column} {cut(row.cells[column])!r} names no split: they are {spellings_said()}"
            )
        if not unknown:
            if given is not None:
                raise InputError(f"{table.path} has a column {column} of splits: --split is for tables without one")
            if folder is not None and set(named) != {folder} and named:
                raise InputError(f"{table.path} is in the folder of {folder}, and its column {column} names others")
            return named
    inside = [_first_folder(row.cells[file_column]) for row in table.rows]
    if folder is None and given is None and any(inside):
        if not all(inside):
            row = table.rows[inside.index(None)]
            raise InputError(
                f"{row.place}: {cut(row.cells[file_column])} is in no folder of a split, and other rows are: "
                "write a column split"
            )
        return inside
    return [folder or given] * len(table.rows)


def _first_folder(given: str) -> str | None:
    parts = PurePosixPath(given).parts
    named = [split for part in parts[:-1] if (split := split_named(part))]
    return named[0] if named else None


def _read(content: bytes, path: PurePosixPath) -> _Table:
    """The columns of a CSV file, in lower case, and its rows by column."""
    line, lines = 1, []
    try:
        reader = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
        for cells in reader:
            if any(cell.strip() for cell in cells):
                lines.append((line, [cell.strip() for cell in cells]))
            line = reader.line_num + 1
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            f"{path} line {line} is not CSV ({error}): it must be UTF-8 with a first line that names columns"
        ) from error
    if not lines:
        raise InputError(f"{path} is not CSV (it is empty): it must be UTF-8 with a first line that names columns")
    columns = tuple(name.lower() for name in lines[0][1])
    if len(set(columns)) < len(columns):
        raise InputError(f"{path} names a column twice: {some(columns, 12)}")
    rows = []
    for number, cells in lines[1:]:
        place = f"{path} line {number}"
        if len(cells) > len(columns):
            raise InputError(f"{place} has {len(cells)} cells, and there are {len(columns)} columns: quote commas")
        rows.append(_Row(place, dict(zip(columns, [*cells, *[""] * (len(columns) - len(cells))], strict=True))))
    return _Table(path, columns, tuple(rows))
