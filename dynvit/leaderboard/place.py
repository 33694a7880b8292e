"""Where the files of a run lie: in a folder of their own, or beside a published board, under its name."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from dynvit.leaderboard.store import RUNS

BOARD = "leaderboard.json"


@dataclass(frozen=True)
class Place:
    """``runs.jsonl`` and ``leaderboard.json`` in a run's folder; ``NAME.runs.jsonl`` beside a published ``NAME.json``.

    ``prefix`` is ``NAME.``, or empty in a folder of a run.
    """

    folder: Path
    prefix: str = ""

    @classmethod
    def of(cls, path: str | os.PathLike[str]) -> Place:
        """The place that a path names: a folder, a board, or one of the files with lines."""
        path = Path(path)
        if path.is_dir():
            return cls(path)
        if path.suffix == ".json":
            return cls(path.parent, "" if path.name == BOARD else f"{path.stem}.")
        published = path.name.endswith(".jsonl") and path.name.count(".") > 1
        return cls(path.parent, f"{path.name.removesuffix('.jsonl').rpartition('.')[0]}." if published else "")

    @classmethod
    def of_evidence(cls, path: Path) -> Place:
        """Where the lines lie of what a path names. A board's: beside it under its name, else those of its folder."""
        place = cls.of(path)
        if path.suffix != ".json" or place.runs.is_file() or not cls(path.parent).runs.is_file():
            return place
        return cls(path.parent)

    def file(self, name: str) -> Path:
        """The file that is called so in a run's folder."""
        return self.folder / f"{self.prefix}{name}"

    @property
    def runs(self) -> Path:
        """The records."""
        return self.file(RUNS)

    @property
    def board(self) -> Path:
        """The board."""
        return self.folder / (f"{self.prefix[:-1]}.json" if self.prefix else BOARD)

    @property
    def is_published(self) -> bool:
        """Whether the files carry the board's name."""
        return bool(self.prefix)
