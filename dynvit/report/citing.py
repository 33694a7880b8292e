"""What to cite of a board: dynvit, the board itself, and the papers of the methods that stand on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dynvit.citation import entry
from dynvit.latex import latex
from dynvit.leaderboard.board import Leaderboard
from dynvit.leaderboard.digest import digest
from dynvit.plain import visible
from dynvit.progress import counted
from dynvit.version import __version__

DEVELOPERS = "The dynvit developers"
TITLE = "dynvit: a benchmark of dynamic vision transformers"


def citations(boards: Sequence[Leaderboard], papers: Mapping[str, str]) -> str:
    """The BibTeX of boards, each entry once; a line of its own says of which method none is known.

    ``papers`` holds the entry of each method that is installed, by name; empty where it declares no paper.
    """
    measured = {entry.method for board in boards for entry in board.entries}
    methods = sorted(measured | {row.method for board in boards for row in board.paper})
    known = dict.fromkeys(papers[name] for name in methods if papers.get(name))
    unknown = [
        f"% {visible(name).replace('@', '(at)')}: {_why(name, papers)}" for name in methods if not papers.get(name)
    ]
    whole = [_software(), *dict.fromkeys(map(_board, boards)), *known]
    return "\n\n".join([*whole, "\n".join(unknown)]).rstrip()


def _why(name: str, papers: Mapping[str, str]) -> str:
    return "declares no paper" if name in papers else "not installed here, so its paper is not known"


def _software() -> str:
    fields = {"title": f"{{{TITLE}}}", "author": f"{{{DEVELOPERS}}}", "note": f"Version {__version__}"}
    return entry("misc", "dynvit", fields)


def _board(board: Leaderboard) -> str:
    setting, made = board.setting, board.generated
    sum_of = digest(board.model_dump(mode="json"))
    called = f"dynvit leaderboard: {setting.dataset} {setting.split}, {setting.backbone}"
    note = f"{counted(len(board.entries), 'point')} by dynvit {made.dynvit}, digest {sum_of}"
    fields = {"title": f"{{{latex(called)}}}", "year": str(made.date_utc.year), "note": latex(note)}
    return entry("misc", f"dynvit-{setting.dataset}-{sum_of[:8]}", fields)
