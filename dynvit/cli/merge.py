"""``dynvit merge``: folders of one bench, or boards of one setting, joined."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dynvit.cli._plugins import Plugin, load
from dynvit.plain import say


def merge(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH…", help="A bench's output folders, or boards.")],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="PATH", help="NAME.json with its lines beside it, else a folder."),
    ],
    plugin: Plugin = None,
) -> None:
    """Join records, per-sample results and measurements, each once, and build the board of them.

    What lies in the output already is joined too; the same again changes nothing. What contradicts is refused by name.
    """
    from dynvit.report.merging import merge as joined

    load(plugin)
    merged = joined(paths, output)
    files = ", ".join(path.name for path in merged.changed) or "nothing changed"
    say(f"{output}: {len(merged.board.entries):,} entries, {len(merged.added)} new; {files}")
