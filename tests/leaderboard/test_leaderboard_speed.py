"""Timings on the board: ladders by conditions, the batch that pays, what a table shows, the picture with its data."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from rich.console import Console

from dynvit.leaderboard.board import Leaderboard, read_board
from dynvit.leaderboard.build import build
from dynvit.leaderboard.record import SpeedRecord
from dynvit.measurements.speed.figure import render_speed
from dynvit.measurements.speed.summary import Conditions, break_even, shown, speed_curves
from dynvit.measurements.speed.table import speed_table


def timing(batch: int, speedup: float = 1.2, **more: Any) -> SpeedRecord:
    given: dict[str, Any] = {
        "device": "a processor",
        "dtype": "float32",
        "threads": 1,
        "execution_mode": "predict",
        "batch_size": batch,
        "latency_p50_ms": 1.0 * batch,
        "latency_p95_ms": 1.5 * batch,
        "images_per_s": 1000.0,
        "dense_images_per_s": 1000.0 / speedup,
        "peak_memory_mb": 3.5,
        "speedup": speedup,
        "speedup_low": speedup - 0.1,
        "speedup_high": speedup + 0.1,
        "speedup_promised": 1.5,
        "speedup_share": speedup / 1.5,
        "rounds_kept": 7,
        "rounds_run": 9,
    }
    return SpeedRecord(**given | more)


@pytest.fixture
def board(measure) -> Leaderboard:
    """Two points of top-k timed at three batches on a processor, one of them at one on another; dense is not timed."""
    ladder = [timing(batch, speedup) for batch, speedup in ((1, 0.6), (8, 1.05), (64, 1.4))]
    other = timing(64, 2.0, device="an accelerator", threads=None)
    timed = [
        measure(gmacs=0.6, correct=3000).model_copy(update={"speed": (*ladder, other)}),
        measure(gmacs=0.9, correct=3600).model_copy(update={"speed": tuple(ladder[:2])}),
    ]
    return build([measure("dense", gmacs=1.2537, correct=3900, knobs={}), *timed])


def test_a_method_beats_dense_where_it_does_in_every_round() -> None:
    assert break_even([timing(64, 1.4), timing(1, 0.6), timing(8, 1.05), timing(16, 1.2)]) == 16
    assert break_even([timing(1, 0.6)]) is None
    assert break_even([]) is None


@given(st.lists(st.tuples(st.sampled_from([1, 2, 4, 8]), st.floats(0.2, 5)), max_size=9))
def test_ladders_rise_and_the_later_of_two_timings_stands(found: list[tuple[int, float]]) -> None:
    ladders = speed_curves(timing(batch, speedup) for batch, speedup in found)
    assert len(ladders) == bool(found)
    for ladder in ladders:
        assert [(t.batch_size, t.speedup) for t in ladder.sizes] == sorted(dict(found).items())
        assert ladder.break_even_batch in (None, *dict(found))


def test_what_most_entries_have_is_shown(board: Leaderboard) -> None:
    assert shown(board) == (Conditions("a processor", "float32", 1, "predict"), 8)
    assert [len(entry.speed) for entry in board.entries] == [0, 2, 1]
    assert board.entries[1].speed[1].break_even_batch == 64
    assert board.entries[2].speed[0].break_even_batch is None


def test_the_table_says_the_ratio_that_counts(board: Leaderboard) -> None:
    console = Console(width=100, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(speed_table(board))
    text = console.export_text()
    assert "batch 8 · a processor, float32, 1 thread, predict" in text
    assert "1.05 [0.95, 1.15]" in text
    assert "70 % of 1.50" in text
    assert "7/9" in text
    assert [word in text for word in ("never", "64", "accelerator")] == [True, True, False]


def test_a_board_keeps_its_timings_and_one_without_any_shows_none(board: Leaderboard, measure, tmp_path: Path) -> None:
    board.write(tmp_path / "leaderboard.json")
    assert read_board(tmp_path / "leaderboard.json") == board
    plain = build([measure()])
    assert speed_table(plain) is None
    assert render_speed(plain, tmp_path / "none") == []
    assert not (tmp_path / "none").exists()


def test_the_picture_is_the_same_bytes_each_time_with_every_timing_beside_it(board, tmp_path: Path) -> None:
    written = render_speed(board, tmp_path)
    assert [path.name for path in written] == ["speed.png", "speed.svg", "speed.csv"]
    before = [path.read_bytes() for path in written]
    assert [path.read_bytes() for path in render_speed(board, tmp_path)] == before
    rows = list(csv.DictReader((tmp_path / "speed.csv").open()))
    assert len(rows) == 6
    assert {(row["device"], row["batch_size"]) for row in rows} >= {("an accelerator", "64"), ("a processor", "1")}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"speedup_share": 0.9}, "speedup_share"),
        ({"latency_p95_ms": 0.1}, "latency_p50_ms"),
        ({"rounds_kept": 10}, "rounds_kept"),
        ({"batch_size": 0}, "batch_size"),
        ({"energy_mj_per_image": -1.0}, "energy"),
    ],
)
def test_a_timing_that_cannot_be_true_is_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        timing(4, **wrong)
