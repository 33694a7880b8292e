"""``runs.jsonl``: the finished measurements, one a line, append-only. It is the only truth."""

from __future__ import annotations

import os

from dynvit.leaderboard.lines import LineStore
from dynvit.leaderboard.record import Record, from_version_1

RUNS = "runs.jsonl"


class RunStore(LineStore[Record]):
    """Records in one file, each named by its ``record_id``. Raises: as ``LineStore``."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__(path, Record, "record_id", from_version_1)
