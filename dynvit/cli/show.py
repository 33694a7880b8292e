"""``dynvit show``, ``validate`` and ``convert``: look at results, check files that claim to be some, bring them up."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dynvit.cli._plugins import Plugin, load
from dynvit.plain import say

if TYPE_CHECKING:
    from dynvit.leaderboard.papers import Paper
    from dynvit.report import Board
    from dynvit.report.listing import View

Form = Annotated[str, typer.Option("--format", metavar="FORM", help="table, or the entries as md, latex, csv or json.")]
Columns = Annotated[str, typer.Option(metavar="NAME,NAME", help="Their columns. Default: all")]
Where = Annotated[
    list[str] | None, typer.Option(metavar="NAME=VALUE", help="Only entries of which this holds; repeatable.")
]
Sort = Annotated[str, typer.Option(metavar="NAME", help="By this number; -NAME for falling.")]
Pick = Annotated[
    str,
    typer.Option(
        metavar="F,F",
        help="Dense, and of each method the most accurate entry at such a share of dense compute or below.",
    ),
]

Figure = Annotated[
    str,
    typer.Option(
        metavar="NAME", help="A picture for a paper: front, latency, robust; of an explained split: exits, skips."
    ),
]
Width = Annotated[str, typer.Option(metavar="WIDTH", help="Its width: column (3.25 inches) or page (6.75).")]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE", help="Its file, .pdf, .svg or .png. Default: NAME.pdf")
]


def show(
    path: Annotated[Path, typer.Argument(help="A bench's output folder, its runs.jsonl, or a leaderboard.json.")],
    render: Annotated[
        bool, typer.Option("--render", help="Write the pictures and their numbers again, beside the file.")
    ] = False,
    papers: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Papers' rows, such as leaderboards/papers, beside the board's."),
    ] = None,
    form: Form = "table",
    columns: Columns = "",
    where: Where = None,
    sort: Sort = "",
    pick: Pick = "",
    figure: Figure = "",
    width: Width = "column",
    output: Output = None,
    plugin: Plugin = None,
) -> None:
    """Print the tables of a finished or running bench, and draw its pictures; list its entries; draw for papers."""
    from dynvit.errors import InputError
    from dynvit.leaderboard.papers import read_papers, with_papers
    from dynvit.report import print_board
    from dynvit.report.evidence import standings_in
    from dynvit.report.found import boards_in, warn_of_contradictions
    from dynvit.report.listing import listing, view_of
    from dynvit.terminal import new_console

    load(plugin)
    read = () if papers is None else read_papers(papers)
    if figure and (form != "table" or render):
        raise InputError("--figure draws one picture for a paper: leave out --format and --render")
    if figure:
        _draw(path, read, figure, width, output, view_of("md", columns, where or (), sort, pick))
        return
    if output is not None or width != "column":
        raise InputError("--output and --width are a figure's: give --figure front, or leave them out")
    boards, console = [with_papers(board, read) if read else board for board in boards_in(path)], new_console()
    warn_of_contradictions(path)
    standings = standings_in(path)
    view = view_of(form, columns, where or (), sort, pick)
    for board in boards:
        if view is None:
            print_board(board, console, standings)
        else:
            say(listing(board, view, standings))
    if render:
        _render(path, boards)


def _render(path: Path, boards: Sequence[Board]) -> None:
    """The pictures of a bench's folder, beside it."""
    from dynvit.errors import InputError
    from dynvit.report import write_pictures

    if len(boards) > 1:
        raise InputError(f"{path} holds {len(boards)} settings: --render takes a file with one")
    for picture in write_pictures(boards[0], path if path.is_dir() else path.parent):
        say(str(picture))


def _draw(path: Path, papers: Sequence[Paper], figure: str, width: str, output: Path | None, view: View | None) -> None:
    """A picture for a paper, and what its caption needs."""
    from dynvit.report.paper_figures import PaperFigure, write_paper_figure

    assert view is not None
    for line in write_paper_figure(path, PaperFigure.asked(figure, width, output, view), papers):
        say(line)


def validate(
    paths: Annotated[list[Path], typer.Argument(help="Result files, or folders of them.")],
    plugin: Plugin = None,
) -> None:
    """Check every line and every number against the schema; the first fault ends it with exit code 2."""
    from dynvit.report.found import checked

    load(plugin)
    for path in paths:
        for line in checked(path):
            say(line)


def convert(
    paths: Annotated[list[Path], typer.Argument(help="leaderboard.json files, or folders of them.")],
    plugin: Plugin = None,
) -> None:
    """Rewrite boards of an older schema in today's; ids and numbers stay what they are."""
    from dynvit.report.found import convert_boards

    load(plugin)
    for path in paths:
        for line in convert_boards(path):
            say(line)
