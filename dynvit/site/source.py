"""The boards that pages are made of, each with its name, its file and the evidence beside it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from dynvit.errors import InputError
from dynvit.leaderboard.board import Entry
from dynvit.leaderboard.papers import Paper, with_papers
from dynvit.leaderboard.per_sample import PER_SAMPLE, read_per_sample
from dynvit.leaderboard.place import Place
from dynvit.leaderboard.store import RUNS, RunStore
from dynvit.leaderboard.tiers import SELF_REPORTED, Evidence, Standing, tier
from dynvit.report.boards import Board, read_board
from dynvit.report.evidence import evidence_of
from dynvit.report.found import boards_in, files_in, warn_of_contradictions


@dataclass(frozen=True)
class Source:
    """A board with its name among the others. ``file``: where it was read; None: it was built from a run's lines.

    ``evidence`` is what lies beside it; ``evidence_file`` holds the per-sample results among it.
    """

    name: str
    board: Board
    file: Path | None = None
    evidence_file: Path | None = None
    evidence: Evidence = field(default_factory=Evidence)

    @property
    def is_published(self) -> bool:
        """Whether it is a board that somebody sent in; what nobody has has no tier above self-reported."""
        return self.file is not None and Place.of(self.file).is_published

    def standing(self, entry: Entry) -> Standing:
        """How far an entry can be trusted."""
        return tier(entry, self.evidence) if self.is_published else Standing(SELF_REPORTED)


def sources_in(paths: Sequence[Path], papers: Iterable[Paper] = ()) -> list[Source]:
    """Every board that the paths hold, with those of the papers' rows that are of its setting; by name.

    A file is called as it is, a bench's ``leaderboard.json`` as its folder is.

    Raises: ``InputError`` where a path holds none.
    """
    found, read, names = [], tuple(papers), set[str]()
    for path in paths:
        warn_of_contradictions(path)
        for source in _sources(path):
            unique = _unique(source.name, names)
            names.add(unique)
            board = with_papers(source.board, read) if read else source.board
            found.append(replace(source, name=unique, board=board))
    return sorted(found, key=lambda source: source.name)


def _sources(path: Path) -> list[Source]:
    runs = path / RUNS if path.is_dir() else path
    if runs.name == RUNS and not (path / "leaderboard.json").exists() and (runs.is_file() or not path.is_dir()):
        return [_beside(runs, runs.resolve().parent.name, board, None) for board in boards_in(path)]
    files = [file for file in files_in(path) if file.suffix == ".json"]
    if not files:
        raise InputError(f"{str(path)!r} holds no board: give a leaderboard.json, or a folder of boards")
    return [_beside(file, _name(file), read_board(file), file) for file in files]


def _beside(path: Path, name: str, board: Board, file: Path | None) -> Source:
    """A board with what lies beside it, under its name, or in a bench's folder."""
    place = Place.of_evidence(path)
    kept = place.file(PER_SAMPLE)
    source = Source(name, board, file, kept if kept.is_file() else None)
    if source.is_published:
        return replace(source, evidence=evidence_of(path, board))
    records = {record.record_id: record for record in RunStore(place.runs).read()}
    return replace(source, evidence=Evidence(records, read_per_sample(place)))


def _name(file: Path) -> str:
    return file.resolve().parent.name if file.stem == "leaderboard" else file.stem


def _unique(name: str, taken: set[str]) -> str:
    """A name that any file system takes, and that no other board has, whatever the case of its letters.

    >>> [_unique(name, {"cifar10"}) for name in ("cifar10-0.7", "CIFAR10", "../a b", "..")]
    ['cifar10-0.7', 'CIFAR10-2', 'a-b', 'board']
    """
    plain = re.sub(r"[^A-Za-z0-9._-]+|\.{2,}", "-", name)[:80].strip(".-") or "board"
    plain = f"{plain}-board" if plain.lower() == "assets" else plain
    given = {other.lower() for other in taken}
    numbered = (plain if count == 1 else f"{plain}-{count}" for count in range(1, len(taken) + 2))
    return next(one for one in numbered if one.lower() not in given)
