"""Boards that are joined without their lines: what the rows of each share, those of another do not share unsaid."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from consistent_bench import make_bench
from dynvit.leaderboard.record import Record
from dynvit.measurements.base import Measurement
from dynvit.measurements.corruption.measurement import Corruption
from dynvit.measurements.robustness.measurement import Robustness
from dynvit.measurements.robustness.summary import RobustnessOverview
from dynvit.measurements.terms import told, told_apart
from dynvit.report import Board, read_board
from dynvit.report.found import checked
from dynvit.report.merging import merge

KINDS: tuple[type[Measurement[Any, Any, Any]], ...] = (Robustness, Corruption)
ONE = (("dense", 2.0, 31, {}, 0), ("topk", 1.0, 25, {"keep_ratio": 0.5}, 0))
OTHER = (("dvt", 1.5, 33, {"threshold": 0.75}, 0), ("dvt", 1.2, 28, {"threshold": 0.5}, 0))
Place = Callable[..., Path]


@pytest.fixture
def bench(measure: Callable[..., Record], tmp_path: Path) -> Place:
    """A bench's folder of some points; with ``bare`` its board alone."""

    def made(name: str, points: Sequence[Any], bare: bool = False) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        make_bench(folder, measure, points)
        if bare:
            return Path(shutil.move(folder / "leaderboard.json", tmp_path / f"{name}.json"))
        return folder

    return made


def images(board: Board, kind: type[Measurement[Any, Any, Any]]) -> dict[str, str | None]:
    """By method and GMACs."""
    said: dict[str, Any] = {f"{e.method} {e.gmacs_mean:g}": e.measurements[kind.name] for e in board.entries}
    return {name: (one["accuracy"][0] if kind is Robustness else one).get("images") for name, one in said.items()}


def test_boards_without_lines_are_not_taken_for_the_same_images(bench: Place, tmp_path: Path) -> None:
    one, other = bench("one", ONE, bare=True), bench("other", OTHER, bare=True)
    board = merge([one, other], tmp_path / "out.json").board
    for kind in KINDS:
        found = images(board, kind)
        assert found["dense 2"] == found["topk 1"] != found["dvt 1.5"] == found["dvt 1.2"]
        assert not any(map(told, found.values()))
        [note] = [note for note in kind.notes(board) if "sets of" in note]
        assert "(2 of them not told by the boards that were joined), and cannot be compared" in note
        assert list(kind.tables(board))
    overview = board.overview("robustness", RobustnessOverview)
    assert overview is not None
    assert {front.n_entries for front in overview.fronts} == {2}
    assert not any("other attacks" in note for note in Robustness.notes(board))
    assert all(line.endswith("all valid") for line in checked(tmp_path / "out.json"))


def test_the_same_join_in_another_order_and_again_changes_nothing(bench: Place, tmp_path: Path) -> None:
    one, other = bench("one", ONE, bare=True), bench("other", OTHER, bare=True)
    merge([one, other], tmp_path / "out.json")
    before = (tmp_path / "out.json").read_bytes()
    for again in ([one], [other], [other, one], [tmp_path / "out.json"]):
        assert merge(again, tmp_path / "out.json").changed == ()
    merge([other], tmp_path / "new.json")
    assert images(read_board(tmp_path / "new.json"), Robustness) == {"dvt 1.5": None, "dvt 1.2": None}
    merge([one], tmp_path / "new.json")
    assert (tmp_path / "new.json").read_bytes() == before


def test_a_board_without_lines_beside_one_with_them(bench: Place, tmp_path: Path) -> None:
    bare, lines = bench("one", ONE, bare=True), bench("other", OTHER)
    board = merge([bare, lines], tmp_path / "out.json").board
    for kind in KINDS:
        found = images(board, kind)
        assert told(found["dvt 1.2"])
        assert not told(found["dense 2"])
    assert all(line.endswith("all valid") for line in checked(tmp_path / "out.json"))
    assert merge([lines, bare], tmp_path / "out.json").changed == ()
    # Its lines come later: all are of one set after all, and none says it.
    made = merge([tmp_path / "one"], tmp_path / "out.json").board
    assert {image for kind in KINDS for image in images(made, kind).values()} == {None}
    assert list(Robustness.notes(made)) == []
    assert all(line.endswith("all valid") for line in checked(tmp_path / "out.json"))


def test_a_line_of_one_row_tells_what_its_board_shares(bench: Place, tmp_path: Path) -> None:
    bare, lines = bench("one", ONE, bare=True), bench("other", OTHER)
    for file in lines.glob("*.jsonl"):  # of dense too, which the board without lines has
        first = (tmp_path / "one" / file.name).read_text().splitlines(keepends=True)
        dense = json.loads(first[0])["record_id"]
        with file.open("a") as more:
            more.writelines(line for line in first if json.loads(line)["record_id"] == dense)
    (lines / "leaderboard.json").unlink()
    board = merge([bare, lines], tmp_path / "out.json").board
    for kind in KINDS:
        assert set(images(board, kind).values()) == {None}
        assert list(kind.notes(board)) == []


def summaries(**images: str | None) -> dict[str, Any]:
    row = {"source": "generated", "n": 4, "clean_accuracy_pct": None, "accuracy_pct": 0.0, "accuracy_ci95_low_pct": 0.0}
    row |= {"accuracy_ci95_high_pct": 50.0, "mce_pct": None, "mce_over": (), "mce_published": False}
    each = {"name": "fog", "severities": (1,), "accuracy_pct": 0.0, "accuracy_ci95_low_pct": 0.0}
    each |= {"accuracy_ci95_high_pct": 50.0, "gmacs_mean": 1.0}
    row |= {"gmacs_mean": 1.0, "gmacs_drift_pct": None, "corruptions": (each,)}
    return {key: Corruption.Summary.model_validate(row | {"images": hash_}) for key, hash_ in images.items()}


def joined(*boards: Mapping[str, Any]) -> list[dict[str, str | None]]:
    return [{key: one.images for key, one in board.items()} for board in told_apart(boards)]


def test_rows_that_share_a_row_share_a_set() -> None:
    [one, two, three] = joined(summaries(a=None, b=None), summaries(b=None, c=None), summaries(d=None))
    assert one["a"] == one["b"] == two["b"] == two["c"] != three["d"]
    [one, two] = joined(summaries(a=None, b=None), summaries(b="f" * 16, c="0" * 16))
    assert (one, two) == ({"a": "f" * 16, "b": "f" * 16}, {"b": "f" * 16, "c": "0" * 16})


def test_a_board_whose_rows_turn_out_to_differ_shares_nothing_with_either() -> None:
    [one, two] = joined(summaries(a=None, b=None, c=None), summaries(b="f" * 16, c="0" * 16))
    assert (one["b"], one["c"]) == (two["b"], two["c"]) == ("f" * 16, "0" * 16)
    assert not told(one["a"])
