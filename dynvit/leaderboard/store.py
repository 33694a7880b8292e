"""``runs.jsonl``: the finished measurements, one a line, append-only. It is the only truth."""

from __future__ import annotations

from dynvit.leaderboard.lines import LineStore
from dynvit.leaderboard.record import Record


class RunStore(LineStore[Record]):
    """Records in one file, each named by its ``record_id``. Raises: as ``LineStore``."""

    model = Record

    @staticmethod
    def key(line: Record) -> str:
        """The record's id."""
        return line.record_id
