"""Timings on the board: curves by conditions, the break-even batch, what a table shows, the picture with its data."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from rich.console import Console

from dynvit.measurements.speed.measurement import Speed
from dynvit.measurements.speed.summary import Conditions, break_even, shown, speed_curves
from dynvit.measurements.speed.table import faster_from
from dynvit.report import Board, RunData, build_board, read_board, write_pictures
from timing_helpers import timing


@pytest.fixture
def board(measure) -> Board:
    """Two points of top-k timed at three batches on a processor, one of them at one on another; dense is not timed."""
    curve = [timing(batch, speedup) for batch, speedup in ((1, 0.6), (8, 1.05), (64, 1.4))]
    other = timing(64, 2.0, device="an accelerator", threads=None)
    dense = measure("dense", gmacs=1.2537, correct=3900, knobs={})
    one, two = measure(gmacs=0.6, correct=3000), measure(gmacs=0.9, correct=3600)
    timed = {one.record_id: [*curve, other], two.record_id: curve[:2]}
    return build_board(RunData([dense, one, two], {"speed": timed}))


def test_a_method_beats_dense_where_it_does_in_every_round() -> None:
    assert break_even([timing(64, 1.4), timing(1, 0.6), timing(8, 1.05), timing(16, 1.2)]) == 16
    assert break_even([timing(1, 0.6)]) is None
    assert break_even([timing(1, 1.4), timing(4, 0.8), timing(64, 0.9)]) is None  # it holds of all larger ones, or not
    assert break_even([timing(1, 1.4), timing(4, 0.8), timing(16, 1.3), timing(64, 1.2)]) == 16
    assert break_even([]) is None


def test_few_rounds_are_no_break_even(measure) -> None:
    """The ends of one round are its median: it says nothing of the next."""
    assert break_even([timing(1, 1.4, rounds_valid=5), timing(64, 1.4, rounds_valid=4)]) is None
    assert break_even([timing(1, 1.4, rounds_valid=4), timing(64, 1.4, rounds_valid=5)]) == 64
    assert break_even([timing(64, 1.4, rounds_valid=None)]) is None
    assert "fewer than 5 valid rounds" in faster_from([timing(64, 0.5), timing(128, 1.4, rounds_valid=1)])
    record = measure()
    for rounds, says in ((1, "–"), (7, "never")):
        board = build_board(RunData([record], {"speed": {record.record_id: [timing(8, 0.5, rounds_valid=rounds)]}}))
        [table] = Speed.tables(board)
        assert [str(cell) for cell in table.columns[-1].cells] == [says]


@given(st.lists(st.tuples(st.sampled_from([1, 2, 4, 8]), st.floats(0.2, 5)), max_size=9))
def test_curves_rise_and_the_later_of_two_timings_stands(found: list[tuple[int, float]]) -> None:
    curves = speed_curves(timing(batch, speedup) for batch, speedup in found)
    assert len(curves) == bool(found)
    for curve in curves:
        assert [(t.batch_size, t.speedup) for t in curve.sizes] == sorted(dict(found).items())
        assert curve.break_even_batch in (None, *dict(found))


def test_what_most_entries_have_is_shown(board: Board) -> None:
    summaries = Speed.of(board)
    assert shown(summaries) == (Conditions("a processor", "float32", 1, "predict"), 8)
    dense, one, two = (entry.record_id for entry in board.entries)
    assert dense not in summaries
    assert [len(summaries[record_id].curves) for record_id in (one, two)] == [2, 1]
    assert summaries[one].curves[1].break_even_batch == 64
    assert summaries[two].curves[0].break_even_batch is None


def test_the_table_says_the_ratio_that_counts(board: Board) -> None:
    console = Console(width=100, record=True, file=io.StringIO())
    [table] = Speed.tables(board)
    console.print(table)
    text = console.export_text()
    assert "batch 8 · a processor, float32, 1 thread, predict" in text
    assert "1.05 [0.95, 1.15]" in text
    assert "70 % of 1.50" in text
    assert "7/9" in text
    assert [word in text for word in ("never", "64", "accelerator")] == [True, True, False]


def test_a_board_keeps_its_timings_and_one_without_any_shows_none(board: Board, measure, tmp_path: Path) -> None:
    board.write(tmp_path / "leaderboard.json")
    assert read_board(tmp_path / "leaderboard.json") == board
    plain = build_board(RunData([measure()]))
    assert list(Speed.tables(plain)) == []
    assert (Speed.figure(plain), Speed.rows(plain)) == (None, [])
    assert not [path for path in write_pictures(plain, tmp_path / "none") if path.stem == "speed"]
    assert not list((tmp_path / "none").glob("speed.*"))


def test_the_picture_is_the_same_bytes_each_time_with_every_timing_beside_it(board: Board, tmp_path: Path) -> None:
    written = [path for path in write_pictures(board, tmp_path) if path.stem == "speed"]
    assert [path.name for path in written] == ["speed.png", "speed.svg", "speed.csv"]
    before = [path.read_bytes() for path in written]
    assert [path.read_bytes() for path in write_pictures(board, tmp_path) if path.stem == "speed"] == before
    rows = list(csv.DictReader((tmp_path / "speed.csv").open()))
    assert len(rows) == 6
    assert {(row["device"], row["batch_size"]) for row in rows} >= {("an accelerator", "64"), ("a processor", "1")}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"speedup_share": 0.9}, "speedup_share"),
        ({"latency_p95_ms": 0.1}, "latency_p50_ms"),
        ({"rounds_valid": 10}, "rounds_valid"),
        ({"batch_size": 0}, "batch_size"),
        ({"energy_mj_per_image": -1.0}, "energy"),
    ],
)
def test_a_timing_that_cannot_be_true_is_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        timing(4, **wrong)
