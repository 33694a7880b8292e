"""``dynvit site``: boards as a folder of pages."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dynvit.cli._plugins import Plugin, load
from dynvit.plain import say


def site(
    boards: Annotated[
        list[Path] | None, typer.Argument(metavar="[BOARD|FOLDER]...", help="Boards, or folders of them.")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="Where the pages go.")] = Path(
        "site"
    ),
    papers: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Papers' rows. Default: the folder papers beside the first boards"),
    ] = None,
    plugin: Plugin = None,
) -> None:
    """Write pages of boards: tables, interactive fronts, a page for each entry. They need no server and no network.

    Default: the boards in leaderboards. Needs the extra "site": pip install ".\\[site]" in the clone of dynvit.
    """
    from dynvit.leaderboard.papers import read_papers
    from dynvit.progress import counted
    from dynvit.site import build_site
    from dynvit.site.source import sources_in

    load(plugin)
    paths = boards or [Path("leaderboards")]
    beside = (paths[0] if paths[0].is_dir() else paths[0].parent) / "papers"
    place = papers if papers is not None else beside if beside.is_dir() else None
    built = build_site(sources_in(paths, () if place is None else read_papers(place)), output)
    size = f"{built.files:,} files, {built.bytes / 1e6:,.1f} MB"
    boards_said = counted(built.boards, "board")
    say(f"{output / 'index.html'}: {boards_said}, {built.entries:,} entries ({size})")
