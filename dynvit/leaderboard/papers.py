"""What papers print, a file a paper: ``leaderboards/papers/*.yaml``, read, and the rows that a board may show."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import Field, ValidationError

from dynvit.errors import InputError, first_fault
from dynvit.leaderboard.board import Leaderboard, Setting
from dynvit.leaderboard.paper import PaperRow
from dynvit.leaderboard.record import Frozen, Name
from dynvit.reading import read_yaml

BoardT = TypeVar("BoardT", bound=Leaderboard)


class Paper(Frozen):
    """One paper, and the rows that were read of it. ``common`` holds what its rows share, for the file alone."""

    paper: Name = Field(description="short name")
    title: Name = Field(description="title")
    venue: Name = Field(description="where and when it appeared")
    arxiv: Annotated[str, Field(pattern=r"^\d{4}\.\d{4,5}$")] | None = Field(description="arXiv number; null: none")
    rows: tuple[PaperRow, ...] = Field(min_length=1, description="its rows, in the order of its tables")


def read_paper(path: str | os.PathLike[str]) -> Paper:
    """The paper in a file; its name stands in each row's source.

    Raises: ``InputError`` where the file is missing or is none, naming the row and the field.
    """
    body = read_yaml(path, "paper")
    if not isinstance(body, dict) or not isinstance(body.get("rows"), list):
        raise InputError(f"paper {str(path)!r} must be a mapping with a list of rows: see leaderboards/papers")
    common = body.pop("common", {})
    rows = [_row(row, common, body) for row in body["rows"]]
    try:
        return Paper.model_validate_json(json.dumps(body | {"rows": rows}))
    except TypeError as error:  # YAML knows dates, and keys that are no text
        raise InputError(f"paper {str(path)!r} has a value that JSON has not ({error}): put text in quotes") from error
    except ValidationError as error:
        raise InputError(f"paper {str(path)!r} is none: {first_fault(error)}; see leaderboards/papers") from error


def read_papers(place: str | os.PathLike[str]) -> tuple[Paper, ...]:
    """Every paper of a folder, by file name, or that of a file.

    Raises: as ``read_paper``; ``InputError`` where a folder holds none.
    """
    files = sorted(Path(place).glob("*.yaml")) if Path(place).is_dir() else [Path(place)]
    if not files:
        raise InputError(f"no papers in {str(place)!r}: give a folder of YAML files, such as leaderboards/papers")
    return tuple(read_paper(file) for file in files)


def of_setting(rows: Iterable[PaperRow], setting: Setting) -> tuple[PaperRow, ...]:
    """The rows that may stand beside a board: of its data set, split and backbone, and where they say so, of as many
    images and of its image size. A part of a split may be easier than the whole.
    """
    return tuple(
        row
        for row in rows
        if (row.dataset, row.split, row.backbone) == (setting.dataset, setting.split, setting.backbone)
        and row.n in (None, setting.n)
        and row.image_size in (None, setting.image_size)
    )


def with_papers(board: BoardT, papers: Iterable[Paper]) -> BoardT:
    """The board with the rows of its setting; it is shown, drawn and written with them, and they are on no front."""
    rows = of_setting((row for paper in papers for row in paper.rows), board.setting)
    return board.model_copy(update={"paper": rows})


def _row(row: Any, common: Any, body: dict[str, Any]) -> Any:
    """A row as the file means it; what is no mapping is left for the model to refuse."""
    if not isinstance(row, dict) or not isinstance(common, dict):
        return row
    whole = common | row
    if isinstance(whole.get("source"), str) and whole["source"]:
        where = f"arXiv {body['arxiv']}" if body.get("arxiv") else str(body.get("venue"))
        whole["source"] = f"{body.get('paper')} ({where}), {whole['source']}"
    return whole
