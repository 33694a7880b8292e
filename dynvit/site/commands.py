"""The commands that measure an entry again."""

from __future__ import annotations

import shlex

from dynvit.leaderboard.board import Entry
from dynvit.site.source import Source


def commands_of(source: Source, entry: Entry) -> list[tuple[str, str]]:
    """What each does, and the command; that of the bench where the board says it."""
    record = source.evidence.records.get(entry.record_id)
    made = record.command if record is not None else source.board.generated.command
    found = [("The bench that measured this entry, with the others of its board", made)] if made else []
    if source.file is None or not source.is_published or record is None:  # nobody can measure it again
        return found
    again = shlex.join(["dynvit", "verify", source.file.name, "--entry", entry.record_id])
    return [("This entry, measured again and held to what is published", again), *found]


def show_command(source: Source, entry: Entry) -> str:
    """The command that prints this entry of the board that stands beside the page."""
    return shlex.join(["dynvit", "show", "board.json", "--format", "json", "--where", f"record_id={entry.record_id}"])
