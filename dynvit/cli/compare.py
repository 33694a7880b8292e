"""``dynvit compare``: is one record better than another on the same images?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def compare(
    first: Annotated[
        str, typer.Argument(metavar="RECORD", help="FOLDER:ID or BOARD:ID; without the id its static backbone.")
    ],
    second: Annotated[
        str | None, typer.Argument(metavar="[RECORD]", help="The same. Default: every record beside the first")
    ] = None,
) -> None:
    """Pair two records image by image: the difference, its interval, and an exact McNemar test.

    An id may be cut short. With a folder alone, all of its records against its static backbone.
    """
    from dynvit.leaderboard.comparing import comparison_table, find, read_answered
    from dynvit.terminal import new_console, print_table

    base = find(first)
    if second is not None:
        others = [find(second)]
    else:
        folder = first if Path(first).exists() else first.rpartition(":")[0]
        others = [one for one in read_answered(Path(folder)) if one.record.record_id != base.record.record_id]
    print_table(new_console(), comparison_table(base, others))
