"""The board holds one setting, says who is on the front, and is shown as it is."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from dynvit.cli.show import show, validate
from dynvit.errors import InputError
from dynvit.leaderboard.paper import PaperRow
from dynvit.leaderboard.record import Record
from dynvit.leaderboard.store import RunStore
from dynvit.report import Board, RunData, build_board, read_board, write_pictures
from dynvit.report.build import group

DENSE = 1.2537


def build(records: Sequence[Record], **more: Any) -> Board:
    return build_board(RunData(records), **more)


@pytest.fixture(scope="module")
def records(measure):
    return [
        measure("dense", DENSE, 3607, knobs={}),
        *(measure("topk", g, c) for g, c in [(0.5, 1800), (0.7, 3000), (0.8, 2900), (1.0, 3500)]),
        *(measure("random", g, c) for g, c in [(0.5, 700), (0.7, 2200), (1.0, 3100)]),
        measure("topk", 0.3, 4999, role="search"),
    ]


@pytest.fixture
def paper() -> PaperRow:
    return PaperRow(
        method="topk",
        label="Top-K 0.7",
        backbone="deit_tiny_patch16_224",
        dataset="imagenet",
        split="validation",
        gmacs_mean=0.8,
        rule="formula",
        top1_pct=99.0,
        top5_pct=None,
        source="a paper, Table 1",
    )


def test_the_fronts_are_those_of_the_points_and_hold_no_search_and_no_paper(records, paper) -> None:
    board = build(records, papers=[paper, paper.model_copy(update={"dataset": "digits"})])
    assert [(e.method, e.gmacs_mean) for e in board.entries if e.on_method_front] == [
        ("dense", DENSE),
        *(("random", g) for g in (0.5, 0.7, 1.0)),
        *(("topk", g) for g in (0.5, 0.7, 1.0)),
    ]
    assert {e.method for e in board.entries if e.on_front} == {"dense", "topk"}
    assert [e.method for e in board.entries if e.baseline] == ["dense"]
    assert board.paper == (paper,)


def test_hypervolume_is_measured_from_dense_gmacs_and_chance(records) -> None:
    board = build(records)
    worth = {method.name: method for method in board.methods}
    assert worth["dense"].hypervolume == 0
    assert worth["topk"].hypervolume > worth["random"].hypervolume
    assert worth["topk"].hypervolume == pytest.approx(board.hypervolume)
    steps = (DENSE - 1.0) * (70 - 60) + (DENSE - 0.7) * (60 - 36) + (DENSE - 0.5) * (36 - 0.1)
    assert board.hypervolume == pytest.approx(steps)
    assert board.hypervolume_share == pytest.approx(steps / (DENSE * 99.9))


@settings(max_examples=20)
@given(st.randoms(use_true_random=False))
def test_the_board_does_not_depend_on_the_order_of_the_records(records, chance) -> None:
    shuffled = list(records)
    chance.shuffle(shuffled)
    assert build(shuffled) == build(records)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"n": 4000}, "n 5000 and 4000"),
        ({"dataset": "cifar10"}, "dataset imagenet and cifar10"),
        ({"backbone": "deit_small_patch16_224"}, "backbone deit_tiny"),
        ({"dense": 2.0}, "dense_gmacs 1.2537 and 2.0"),
    ],
)
def test_records_of_different_settings_are_never_in_one_front(records, measure, other, said) -> None:
    stranger = measure(correct=100, **other)
    with pytest.raises(InputError, match=f"records of .*{said}"):
        build([*records, stranger])
    assert [len(kept) for kept in group([*records, stranger]).values()] == [8, 1]


def test_only_trials_make_no_board(measure) -> None:
    with pytest.raises(InputError, match="no record reports"):
        build([measure(role="search")])


def test_the_file_is_the_board_and_the_same_bytes_each_time(records, tmp_path: Path) -> None:
    board = build(records, command="dynvit bench")
    board.write(tmp_path / "a.json")
    read_board(tmp_path / "a.json").write(tmp_path / "b.json")
    assert read_board(tmp_path / "a.json") == board
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.json", "b.json"]


def test_the_picture_and_its_data_are_the_board_and_the_same_bytes_each_time(records, paper, tmp_path: Path) -> None:
    board = build(records, papers=[paper])
    first = {file.name: file.read_bytes() for file in write_pictures(board, tmp_path / "a")}
    again = {file.name: file.read_bytes() for file in write_pictures(board, tmp_path / "b")}
    assert sorted(first) == ["front.csv", "front.png", "front.svg"]
    assert first == again
    rows = list(csv.DictReader(first["front.csv"].decode().splitlines()))
    measured = [row for row in rows if row["provenance"] == "measured"]
    assert len(measured) == len(board.entries)
    for row, entry in zip(measured, board.entries, strict=True):
        assert (row["record_id"], row["method"]) == (entry.record_id, entry.method)
        assert (float(row["gmacs_mean"]), float(row["top1_pct"])) == (entry.gmacs_mean, entry.top1_pct)
        assert json.loads(row["knobs"]) == entry.knobs
        assert row["on_front"] == str(int(entry.on_front))
    assert [(row["top1_pct"], row["on_front"]) for row in rows if row["provenance"] == "paper"] == [("99.0", "")]


def test_a_board_of_one_point_is_drawn_too(measure, tmp_path: Path) -> None:
    for record in (measure(), measure("dense", DENSE, knobs={})):
        assert all(file.stat().st_size for file in write_pictures(build([record]), tmp_path / record.method.name))


class TestCommands:
    @pytest.fixture
    def folder(self, records, tmp_path: Path) -> Path:
        with RunStore(tmp_path / "runs.jsonl") as store:
            for record in records:
                store.append(record)
        build(records).write(tmp_path / "leaderboard.json")
        return tmp_path

    @staticmethod
    def run(command, *arguments: object):
        app = typer.Typer()
        app.command()(command)
        return CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "140"})

    @pytest.mark.parametrize("name", ["", "runs.jsonl", "leaderboard.json"])
    def test_show_prints_a_row_an_entry_of_any_form_of_result(self, folder: Path, name: str) -> None:
        result = self.run(show, folder / name)
        assert result.exit_code == 0, result.output
        assert result.output.count(" keep 0.") == 7
        assert "60.00 [58.6, 61.3]" in result.output
        assert result.output.count("●") == 4 + 1  # and the caption

    def test_show_of_a_board_waits_for_no_statistics(self, folder: Path) -> None:
        code = (
            "import pathlib, sys; from dynvit.cli.show import show; show(pathlib.Path(sys.argv[1])); "
            "print(sorted({'scipy', 'moocore', 'pandas'} & sys.modules.keys()), file=sys.stderr)"
        )
        board = folder / "leaderboard.json"
        done = subprocess.run([sys.executable, "-c", code, str(board)], capture_output=True, text=True, check=True)
        assert done.stderr.strip() == "[]"

    def test_show_renders_beside_the_file(self, folder: Path) -> None:
        assert self.run(show, folder, "--render").exit_code == 0
        assert {"front.png", "front.svg", "front.csv"} <= {file.name for file in folder.iterdir()}

    def test_validate_counts_what_is_valid(self, folder: Path) -> None:
        output = self.run(validate, folder).output
        assert "9 records, all valid" in output
        assert "8 entries, all valid" in output

    def test_validate_names_the_first_fault_in_one_line(self, folder: Path) -> None:
        runs = folder / "runs.jsonl"
        runs.write_text(runs.read_text().replace('"n_unique":5000', '"n_unique":4999', 1))
        error = self.run(validate, runs).exception
        assert isinstance(error, InputError)
        assert "line 1 is not a record: dataset: n_unique is 4999" in str(error)

    def test_a_path_without_results_says_what_to_give(self, tmp_path: Path) -> None:
        (tmp_path / "notes.json").write_text("{}")
        for path, said in (
            (tmp_path, "is not a leaderboard"),
            (tmp_path / "no.jsonl", "no file"),
            ("no.json", "no such file"),
        ):
            error = self.run(show, path).exception
            assert isinstance(error, InputError)
            assert said in str(error)
