"""All that a board says, on the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from dynvit.leaderboard.board import Leaderboard
from dynvit.leaderboard.table import offers_table, papers_table, seeds_table, table
from dynvit.leaderboard.tiers import CHECKED, SELF_REPORTED, Standing
from dynvit.measurements.base import measurements
from dynvit.progress import counted
from dynvit.terminal import print_line, print_table, print_text

if TYPE_CHECKING:
    from rich.console import Console

_SHORT = {CHECKED: "checked"}


def print_board(board: Leaderboard, console: Console, standings: Mapping[str, Standing] = {}) -> None:
    """The main table, those of each measurement, then what is to be noted and what was skipped.

    ``standings`` are of published entries, by record id.
    """
    kinds = measurements.load_all()
    further = {heading: cells for kind in kinds.values() for heading, cells in kind.columns(board).items()}
    further |= tier_column(standings)
    print_table(console, table(board, further))
    if board.division is not None:
        print_text(console, division_line(board))
    for kind in kinds.values():
        for shown in kind.tables(board):
            print_table(console, shown)
    for further_table in (seeds_table(board), offers_table(board), papers_table(board)):
        if further_table is not None:
            print_table(console, further_table)
    for kind in kinds.values():
        for line in kind.notes(board):
            print_line(console, line)
    for (method, name, reason), count in _skipped(board).items():
        points = counted(count, "point")
        print_line(console, f"– {name} was skipped for {method} ({points}): {reason}")


def tier_column(standings: Mapping[str, Standing]) -> dict[str, dict[str, str]]:
    """The column of tiers, where any entry is more than self-reported."""
    if all(one.tier == SELF_REPORTED and not one.again for one in standings.values()):
        return {}
    return {
        "tier": {
            name: "disputed" if one.is_disputed else _SHORT.get(one.tier, one.tier) for name, one in standings.items()
        }
    }


def division_line(board: Leaderboard) -> str:
    """What the entries were allowed to be trained by, in a line."""
    if board.division != "fine-tuned":
        what = "nothing was trained on top of the backbone" if board.division == "off-the-shelf" else "any training"
        return f"division {board.division}: {what}"
    trainings = [entry.training for entry in board.entries if entry.training is not None]
    images = sorted({training.images_seen for training in trainings if training.images_seen is not None})
    ends = dict.fromkeys((*images[:1], *images[-1:]))  # none where an edited board says nothing
    seen = f", {' to '.join(f'{count:,}' for count in ends)} images" if ends else ""
    return f"division fine-tuned: all by recipe {trainings[0].recipe}{seen}, from one start"


def _skipped(board: Leaderboard) -> dict[tuple[str, str, str], int]:
    found: dict[tuple[str, str, str], int] = {}
    for entry in board.entries:
        for name, reason in entry.skipped.items():
            key = entry.method, name, reason
            found[key] = found.get(key, 0) + 1
    return found
