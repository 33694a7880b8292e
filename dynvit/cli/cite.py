"""``dynvit cite``: the BibTeX of a board and of the methods on it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dynvit.cli._plugins import Plugin, load
from dynvit.plain import say


def cite(
    paths: Annotated[
        list[Path], typer.Argument(help="Boards, bench folders, or folders of boards.", metavar="BOARD...")
    ],
    plugin: Plugin = None,
) -> None:
    """Print the BibTeX of boards, and of the papers that their methods declare."""
    from dynvit.api.citing import cite

    load(plugin)
    say(cite(paths))
