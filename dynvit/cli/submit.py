"""``dynvit submit``: from a bench's folder to what a pull request needs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dynvit.cli._plugins import Plugin, load
from dynvit.plain import say


def submit(
    run: Annotated[Path, typer.Argument(metavar="FOLDER", help="The output folder of a finished bench.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Folder of the published boards.")
    ] = Path("leaderboards"),
    board: Annotated[
        str | None, typer.Option(metavar="NAME", help="The board. Default: that of the setting, else a new one")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check, say what would be written, write nothing.")
    ] = False,
    plugin: Plugin = None,
) -> None:
    """Check a run, join it into the board of its setting, and print the text of a pull request."""
    from dynvit.report.submitting import TEXT
    from dynvit.report.submitting import submit as sent

    load(plugin)
    found = sent(run, output, board, write=not dry_run)
    say(found.text)
    files = ", ".join(str(path) for path in found.merged.changed) or "nothing: all of it is there already"
    say(f"would write {files}" if dry_run else f"wrote {files}; this text: {run / TEXT}", err=True)
