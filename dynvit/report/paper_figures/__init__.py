"""Pictures for papers, at the width of a column or of a page: by name, of a board or of what an explanation wrote."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dynvit.errors import InputError, unknown
from dynvit.figures import SUFFIXES, write_figure
from dynvit.leaderboard.papers import Paper, with_papers
from dynvit.report.boards import Board
from dynvit.report.found import boards_in, warn_of_contradictions
from dynvit.report.listing import View, listed
from dynvit.report.paper_figures.fronts import draw_front, draw_latency
from dynvit.report.paper_figures.look import WIDTHS, Width
from dynvit.report.paper_figures.policies import EXITS, SKIPS, draw_exits, draw_skips
from dynvit.report.paper_figures.robust import draw_robust, said_of_robust

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OF_BOARDS: Mapping[str, Callable[[Board, Width, float], Figure]] = {
    "front": lambda board, width, share: draw_front(board, width),
    "latency": lambda board, width, share: draw_latency(board, width),
    "robust": draw_robust,
}
"""(board, width, share of dense compute at which methods are compared) → figure."""
OF_EXPLANATIONS: Mapping[str, tuple[str, Callable[[Path, Width], Figure]]] = {
    "exits": (EXITS, draw_exits),
    "skips": (SKIPS, draw_skips),
}
"""The file that ``dynvit explain --dataset`` writes, and its picture."""
NAMES = (*OF_BOARDS, *OF_EXPLANATIONS)
SHARE = 0.65
"""Of dense compute, at which a picture of one point a method compares them."""


@dataclass(frozen=True)
class PaperFigure:
    """What is to be drawn. ``view`` says of which entries, and by ``pick`` at which share of dense compute."""

    name: str
    width: Width
    output: Path
    view: View

    @classmethod
    def asked(cls, name: str, width: str, output: Path | None, view: View) -> PaperFigure:
        """As the words of a command line say it. Raises: ``InputError`` for one that is none."""
        if name not in NAMES:
            raise unknown("figure", name, NAMES)
        if width not in WIDTHS:
            raise unknown("width", width, WIDTHS)
        if view.columns or view.sort:
            raise InputError("--columns and --sort list entries: leave them out for a figure")
        if len(view.pick) > 1:
            raise InputError("--pick must be one share for a figure: points are compared at one")
        chosen = Path(f"{name}.pdf") if output is None else output
        if chosen.suffix not in SUFFIXES:
            raise InputError(f"--output must end in {', '.join(SUFFIXES)}, got {str(chosen)!r}")
        return cls(name, width, chosen, view)


def write_paper_figure(path: Path, asked: PaperFigure, papers: Sequence[Paper] = ()) -> Iterator[str]:
    """Draw of what lies at a path, and write it; says what its caption needs, and where it is.

    Raises: ``InputError`` where the path holds nothing of the kind, or more than one setting.
    """
    if asked.name in OF_EXPLANATIONS:
        file, draw = OF_EXPLANATIONS[asked.name]
        yield str(write_figure(draw(path / file if path.is_dir() else path, asked.width), asked.output, dpi=600))
        return
    boards = boards_in(path)
    if len(boards) > 1:
        raise InputError(f"{path} holds {len(boards)} settings: --figure takes a file with one")
    warn_of_contradictions(path)
    board = with_papers(boards[0], papers) if papers else boards[0]
    kept = listed(board, View(where=asked.view.where))
    if not kept:
        raise InputError(f"no entry of {path} is as --where says: dynvit show lists them")
    chosen = board.model_copy(update={"entries": tuple(kept)})
    share = asked.view.pick[0] if asked.view.pick else SHARE
    if asked.name == "robust":
        yield from said_of_robust(chosen, share)
    yield str(write_figure(OF_BOARDS[asked.name](chosen, asked.width, share), asked.output, dpi=600))
