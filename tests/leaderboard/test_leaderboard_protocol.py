"""Published boards keep the protocol: within the fine-tuned division every model was trained alike."""

from __future__ import annotations

from pathlib import Path

import pytest

from dynvit.leaderboard.board import Leaderboard
from dynvit.report import read_board

FILES = sorted((Path(__file__).parents[2] / "leaderboards").glob("*.json"))
BOARDS = {file.stem: read_board(file) for file in FILES}
FINE_TUNED = [name for name, board in BOARDS.items() if board.division == "fine-tuned"]
WITHIN = 0.02
"""An epoch has whole steps, and a stage that takes part of one has at least a step."""


def test_there_is_a_board_of_the_division_that_trains_all_alike() -> None:
    assert FINE_TUNED


@pytest.mark.parametrize("name", FINE_TUNED)
def test_all_models_saw_as_many_images_by_one_recipe_from_one_start(name: str) -> None:
    trainings = [entry.training for entry in BOARDS[name].entries]
    assert len({(each.recipe_sha256, each.start_sha256, each.data_seed) for each in trainings if each}) == 1
    seen = [each.images_seen for each in trainings if each and each.images_seen]
    assert len(seen) == len(trainings)
    assert max(seen) <= min(seen) * (1 + WITHIN)


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_the_fine_tuned_division_shares_a_board_with_no_other(board: Leaderboard) -> None:
    divisions = {entry.training.division if entry.training else None for entry in board.entries}
    assert "fine-tuned" not in divisions or divisions == {"fine-tuned"}
    assert None not in divisions or divisions == {None}  # what is not known stands beside nothing that is
