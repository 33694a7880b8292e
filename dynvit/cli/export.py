"""``dynvit export``: a board as other sites read it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dynvit.cli._plugins import Plugin, load
from dynvit.plain import say


def export(
    path: Annotated[Path, typer.Argument(help="A board, a bench's folder, or a folder of boards.", metavar="BOARD")],
    to: Annotated[str, typer.Option("--to", metavar="TARGET", help="hf, eee, or a plug-in's: dynvit ls exporters.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FOLDER", help="Where. Default: export/TARGET")
    ] = None,
    plugin: Plugin = None,
) -> None:
    """Write a board for another site: the Hugging Face Hub (hf), or every-eval-ever (eee)."""
    from dynvit.report.exporters import export as written

    load(plugin)
    for file in written(path, to, Path("export") / to if output is None else output):
        say(str(file))
