"""What to cite: the papers that methods declare, as BibTeX."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dynvit.citation import bibtex
from dynvit.report.citing import citations
from dynvit.report.found import boards_in


def cite(paths: Sequence[Path]) -> str:
    """The BibTeX of boards, of run folders, or of folders of boards. Raises: as ``dynvit.report.found.boards_in``."""
    boards = [board for path in paths for board in boards_in(path)]
    return citations(boards, papers_of_methods())


def papers_of_methods() -> dict[str, str]:
    """The BibTeX entry of each method's paper, by the method's name; empty where it declares none."""
    from dynvit.interface import methods

    return {
        name: "" if kind.paper is None else bibtex(kind.paper, name=name, venue=kind.venue, year=kind.year)
        for name, kind in methods.load_all().items()
    }
