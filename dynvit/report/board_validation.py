"""A board held against itself and against the lines beside it, for ``dynvit validate``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dynvit.leaderboard.contradiction import equal
from dynvit.leaderboard.digest import is_edited
from dynvit.leaderboard.per_sample import PER_SAMPLE, read_per_sample
from dynvit.leaderboard.place import Place
from dynvit.leaderboard.verification import VERIFIED, VerificationStore
from dynvit.reading import read_json
from dynvit.report.beside import of_runs
from dynvit.report.boards import Board, read_board
from dynvit.report.build import setting_of
from dynvit.report.placed import placed, read_placed, standing
from dynvit.report.rederive import of_board, of_evidence
from dynvit.report.validation import EDITED, Fault


def faults_of_board(file: Path, beside: Place | None) -> Iterator[Fault]:
    """Every contradiction within a board, and between it and the lines ``beside`` it. Raises: ``InputError``."""
    board = read_board(file)
    yield from faults_within(file, board)
    if beside is None:
        return
    yield from _of_verifications(board, beside)
    if not beside.runs.is_file():
        kept = read_per_sample(beside)
        yield from (Fault(file, f": {found}") for found in of_evidence(board, kept, beside.file(PER_SAMPLE).name))
        return
    records = standing(read_placed(beside).records)
    places = {key: line.where for key, line in records.items()}
    yield from (Fault(file, f": {found}") for found in of_runs(file, beside, board, places))
    for line in records.values():
        if line.line.role == "report" and setting_of(line.line) != board.setting:
            yield Fault(line.file, f": must be of the setting of {file.name}, is of another", line.number)


def faults_within(file: Path, board: Board) -> Iterator[Fault]:
    """Every contradiction within a board that was read from the file, else that it was edited."""
    within = [Fault(file, f": {found}") for found in of_board(board)]
    yield from within or edited_board(file, read_json(file, "board"))


def _of_verifications(board: Board, beside: Place) -> Iterator[Fault]:
    """What was measured again must be of an entry, and of as many images."""
    known = {entry.record_id for entry in board.entries}
    for line in placed(VerificationStore(beside.file(VERIFIED))):
        if line.line.record_id not in known:
            yield Fault(
                line.file, f": record_id must name an entry of the board, got {line.line.record_id}", line.number
            )
        for found in equal("of", line.line.of, board.setting.n, "setting.n of the board"):
            yield Fault(line.file, f": {found}", line.number)


def edited_board(file: Path, body: Any) -> Iterator[Fault]:
    """That a board was changed after it was written. ``body``: the file's JSON."""
    if is_edited(body):
        yield Fault(file, f" {EDITED}")
