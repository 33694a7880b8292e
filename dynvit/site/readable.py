"""What a file holds, in words: each field by its description, lists of things alike as tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

from pydantic import BaseModel

from dynvit.reading import is_number


@dataclass(frozen=True)
class Fact:
    """One field: its ``name`` as the file has it, what it is, and its value."""

    name: str
    meaning: str
    value: str
    is_number: bool = False


@dataclass(frozen=True)
class Grid:
    """A list of things alike, as a table. ``columns`` are names and meanings; a cell is text, and whether a number."""

    title: str
    columns: Sequence[tuple[str, str]]
    rows: Sequence[Sequence[tuple[str, bool]]]


@dataclass(frozen=True)
class Block:
    """Facts, then tables, of one thing; then what it holds of other things."""

    title: str
    facts: Sequence[Fact] = ()
    lines: Sequence[Fact] = ()
    grids: Sequence[Grid] = ()
    blocks: Sequence[Block] = field(default=())

    def __bool__(self) -> bool:
        return bool(self.facts or self.lines or self.grids or self.blocks)


def readable(title: str, body: Mapping[str, Any], kind: type[BaseModel] | None = None) -> Block:
    """What a JSON object holds. ``kind``: the model that it is of, whose descriptions say what its fields are."""
    facts, lines, grids, blocks = [], [], [], []
    for name, value in body.items():
        meaning, inner = _described(kind, name)
        if value is None or value == [] or value == {}:
            continue
        if isinstance(value, Mapping):
            blocks.append(readable(meaning or name, value, inner))
        elif _are_objects(value):
            nested = any(isinstance(cell, Mapping) or _are_objects(cell) for row in value for cell in row.values())
            if nested:
                blocks += [readable(_of(meaning or name, row), row, inner) for row in value]
            else:
                grids.append(_grid(meaning or name, value, inner))
        elif isinstance(value, list | tuple) and all(isinstance(one, str) and len(one) > 40 for one in value):
            lines += [Fact(name, meaning, one) for one in value]
        else:
            facts.append(Fact(name, meaning, said(value), is_number(value)))
    return Block(title, facts, lines, grids, blocks)


def said(value: Any) -> str:
    """A value as people read it: six digits of a number, yes and no.

    >>> said(0.123456789), said(25600), said(True), said([224, 224])
    ('0.123457', '25,600', 'yes', '224, 224')
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.6g}" if abs(value) >= 1e-4 or not value else f"{value:.3g}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, list | tuple):
        return ", ".join(map(said, value))
    return "" if value is None else str(value)


def _grid(title: str, rows: Sequence[Mapping[str, Any]], kind: type[BaseModel] | None) -> Grid:
    names = list(dict.fromkeys(name for row in rows for name in row if row[name] not in (None, [], {})))
    return Grid(
        title,
        [(name.replace("_", " "), _described(kind, name)[0]) for name in names],
        [[(said(row.get(name)), is_number(row.get(name))) for name in names] for row in rows],
    )


def _of(title: str, row: Mapping[str, Any]) -> str:
    """A title that tells one of several apart: by its texts."""
    texts = [value for value in row.values() if isinstance(value, str)]
    return f"{title}: {', '.join(texts[:4])}" if texts else title


def _described(kind: type[BaseModel] | None, name: str) -> tuple[str, type[BaseModel] | None]:
    """What a field is, and the model of what it holds."""
    if kind is None or name not in kind.model_fields:
        return "", None
    found = kind.model_fields[name]
    return found.description or "", next(_models(found.annotation), None)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)


def _are_objects(value: Any) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(one, Mapping) for one in value)
