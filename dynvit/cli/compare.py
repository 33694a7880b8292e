"""``dynvit compare``: is one record better than another on the same images?"""

from __future__ import annotations

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

    An id may be cut short. With a folder alone, each of its records against the static backbone of its seed.
    """
    from dynvit.leaderboard.comparing import compared, comparison_table
    from dynvit.terminal import new_console, print_table

    console = new_console()
    for base, others in compared(first, second):
        print_table(console, comparison_table(base, others))
