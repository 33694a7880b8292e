"""A row is held against the dense model of its own seed, else of the lowest: never against the luckiest of several."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from dynvit.cli import main
from dynvit.errors import InputError
from dynvit.leaderboard.board import Leaderboard
from dynvit.leaderboard.comparing import compared
from dynvit.leaderboard.per_sample import PerSampleResults, PerSampleStore, images_hash, pack
from dynvit.leaderboard.record import Record
from dynvit.leaderboard.store import RunStore
from dynvit.report import Board, RunData, build_board
from dynvit.report.assembling import assembled
from dynvit.report.rederive import of_board

DENSE, N = 2.0, 40
IMAGES = images_hash(map(str, range(N)))
Found = Mapping[tuple[str, int | None], float | None]


@pytest.fixture
def records(measure: Callable[..., Record]) -> dict[tuple[str, int], Record]:
    """Dense of three seeds, the last of them lucky; a method of four; and another that drops nothing, the luckiest."""
    made = {
        ("dense", s): measure("dense", DENSE, k, n=N, dense=DENSE, knobs={}, seed=s) for s, k in enumerate((30, 28, 36))
    }
    made |= {("topk", s): measure("topk", 1.0, k, n=N, dense=DENSE, seed=s) for s, k in enumerate((29, 29, 29, 25))}
    return made | {("atc", 1): measure("atc", DENSE, 39, n=N, dense=DENSE, knobs={}, seed=1)}


def kept(records: Sequence[Record]) -> dict[str, PerSampleResults]:
    return {
        one.record_id: PerSampleResults(
            record_id=one.record_id, n=N, images=IMAGES, right=pack(np.arange(N) < one.accuracy.n_correct)
        )
        for one in records
    }


def images_gained(board: Leaderboard) -> Found:
    """By method and seed: more images right than the model that it is held against."""
    pairs = {(entry.method, entry.seed): entry.against_dense for entry in board.entries}
    return {row: None if pair is None else pair.gained - pair.lost for row, pair in pairs.items()}


RIGHT: Found = {
    ("atc", 1): 11,
    **{("dense", seed): None for seed in range(3)},
    **dict(zip((("topk", seed) for seed in range(4)), (-1, 1, -7, -5), strict=True)),
}


def built(records: Sequence[Record], pairs: bool = True) -> Board:
    return build_board(RunData(records, per_sample=kept(records) if pairs else {}))


def test_a_row_is_paired_with_dense_of_its_own_seed_else_of_the_lowest(records: dict[tuple[str, int], Record]) -> None:
    board = built([*records.values()])
    assert images_gained(board) == RIGHT
    assert not list(of_board(board))
    assert images_gained(built([*records.values()][::-1])) == RIGHT


def test_another_static_method_stands_in_where_there_is_no_dense(records: dict[tuple[str, int], Record]) -> None:
    alone = built([records["atc", 1], records["topk", 0]])
    assert images_gained(alone) == {("atc", 1): None, ("topk", 0): -10}


def test_a_pair_with_another_dense_model_is_a_contradiction(records: dict[tuple[str, int], Record]) -> None:
    """As older boards had it, which took the most accurate."""
    board = built([*records.values()])
    [lucky] = [entry.against_dense for entry in board.entries if (entry.method, entry.seed) == ("topk", 2)]
    entries = [
        entry.model_copy(update={"against_dense": lucky}) if (entry.method, entry.seed) == ("topk", 1) else entry
        for entry in board.entries
    ]
    [found] = of_board(board.model_copy(update={"entries": tuple(entries)}))
    assert "against_dense.difference_points must be 2.5 (top1_pct less that of" in str(found)


def test_boards_that_are_joined_pair_by_the_same_rule(records: dict[tuple[str, int], Record]) -> None:
    first = built([record for row, record in records.items() if row in (("dense", 0), ("topk", 0), ("topk", 1))])
    assert images_gained(first)["topk", 1] == -1
    second = built([records["dense", 1]])
    joined = assembled(RunData([]), [first, second], "dynvit merge")
    assert images_gained(joined) == {("dense", 0): None, ("dense", 1): None, ("topk", 0): -1, ("topk", 1): None}
    assert not list(of_board(joined))
    known = RunData([], per_sample=kept([*records.values()]))
    assert images_gained(assembled(known, [first, second], "dynvit merge"))["topk", 1] == 1


def test_a_spread_that_another_outgrew_is_not_kept(measure: Callable[..., Record]) -> None:
    own = [measure(correct=correct, seed=seed) for seed, correct in enumerate((3500, 3600, 3700))]
    few, all_three = built(own[:2], pairs=False), built(own, pairs=False)
    for boards in ([few, all_three], [all_three, few]):
        assert [spread.seeds for spread in assembled(RunData([]), boards, "dynvit merge").seeds] == [(0, 1, 2)]


class TestOfCompare:
    @pytest.fixture
    def folder(self, records: dict[tuple[str, int], Record], tmp_path: Path) -> Path:
        with RunStore(tmp_path / "runs.jsonl") as runs, PerSampleStore(tmp_path / "per_sample.jsonl") as results:
            for record in reversed(records.values()):
                runs.append(record)
                results.append(kept([record])[record.record_id])
        return tmp_path

    def test_a_folder_alone_is_compared_as_its_board_is(
        self, records: dict[tuple[str, int], Record], folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        found = {
            (other.record.method.name, other.record.seed): (base.record.method.name, base.record.seed)
            for base, others in compared(str(folder))
            for other in others
        }
        assert found == {("atc", 1): ("dense", 1)} | {("topk", s): ("dense", s if s < 3 else 0) for s in range(4)}
        assert main(["compare", str(folder)]) == 0
        assert capsys.readouterr().out.count("against dense") == 3

    def test_a_folder_beside_a_record_is_dense_of_its_seed(
        self, records: dict[tuple[str, int], Record], folder: Path
    ) -> None:
        for seed, dense in enumerate((0, 1, 2, 0)):
            name = f"{folder}:{records['topk', seed].record_id}"
            for first, second in ((str(folder), name), (name, str(folder))):
                [(base, [other])] = compared(first, second)
                rows = {(one.record.method.name, one.record.seed) for one in (base, other)}
                assert rows == {("dense", dense), ("topk", seed)}

    def test_without_a_static_backbone_it_says_so(self, measure: Callable[..., Record], tmp_path: Path) -> None:
        record = measure(n=N, correct=30)
        with RunStore(tmp_path / "runs.jsonl") as runs, PerSampleStore(tmp_path / "per_sample.jsonl") as results:
            runs.append(record)
            results.append(kept([record])[record.record_id])
        with pytest.raises(InputError, match="no record of the static backbone"):
            compared(str(tmp_path))
