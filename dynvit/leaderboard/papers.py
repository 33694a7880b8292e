"""What papers print, a file a paper: ``leaderboards/papers/*.yaml``, read, and the rows that a board may show."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import Field, ValidationError

from dynvit.errors import InputError, first_fault
from dynvit.leaderboard.board import Leaderboard, Setting
from dynvit.leaderboard.paper import PaperRow
from dynvit.leaderboard.record import Frozen, Name
from dynvit.reading import read_yaml
from dynvit.units import OUR_RULES

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
    """The rows that may stand beside a board: of its data set, split, backbone and image size, and where they say
    so, of as many images and of its counting rule. A part of a split may be easier than the whole.
    """
    return tuple(
        row
        for row in rows
        if (row.dataset, row.split, row.backbone) == (setting.dataset, setting.split, setting.backbone)
        and row.n in (None, setting.n)
        and (row.image_size or _own_size(row.backbone)) == setting.image_size
        and (row.rule == setting.rule or row.rule not in OUR_RULES)
    )


def with_papers(board: BoardT, papers: Iterable[Paper]) -> BoardT:
    """The board with the rows of its setting; it is shown, drawn and written with them, and they are on no front."""
    rows = of_setting((row for paper in papers for row in paper.rows), board.setting)
    return board.model_copy(update={"paper": rows})


def _own_size(backbone: str) -> tuple[int, int] | None:
    """The image size that a backbone's name ends with; None where it has none.

    timm knows every backbone's, but takes torch with it, which nothing here may: who shows a board does not wait for
    it. The number at the end is a size only after a patch: levit_256 is 256 wide. A row of another backbone has to say
    its image_size, or stands beside no board: two sizes are two costs.

    >>> _own_size("deit_tiny_patch16_224.fb_in1k"), _own_size("levit_256")
    ((224, 224), None)
    """
    found = re.search(r"patch\d+_(?:.*_)?(\d{2,4})$", backbone.partition(".")[0])
    return None if found is None else (int(found[1]), int(found[1]))


def _row(row: Any, common: Any, body: dict[str, Any]) -> Any:
    """A row as the file means it; what is no mapping is left for the model to refuse."""
    if not isinstance(row, dict) or not isinstance(common, dict):
        return row
    whole = common | row
    if isinstance(whole.get("source"), str) and whole["source"]:
        where = f"arXiv {body['arxiv']}" if body.get("arxiv") else str(body.get("venue"))
        whole["source"] = f"{body.get('paper')} ({where}), {whole['source']}"
    return whole
