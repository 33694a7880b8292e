"""Boards as they were published: those of version 1 are read and converted, and what is not known here is kept.

``frozen_v1/boards.json`` is what the published boards held at 28496b1, in version 1: for each entry its key numbers and
a hash of all of its numbers (``python tests/leaderboard/test_leaderboard_published.py FILE…`` prints it for boards of
either version). A board that is measured anew leaves that file.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from dynvit.cli import main
from dynvit.errors import InputError
from dynvit.leaderboard.digest import with_digest
from dynvit.measurements.base import measurements
from dynvit.report import RunData, build_board, print_board, read_board, write_pictures

TESTS = Path(__file__).parents[1]
PUBLISHED, FROZEN = TESTS.parent / "leaderboards", TESTS / "frozen_v1"
THEN = json.loads((FROZEN / "boards.json").read_text())
KEYS = ("gmacs_mean", "saving_pct", "top1_pct", "top1_ci95_low_pct", "top1_ci95_high_pct", "top5_pct")

# Where a number of version 1 stands in version 2; all others stand where they stood.
PLACES = {
    "robust": "measurements.robustness.accuracy",
    "slowdown": "measurements.robustness.slowdown",
    "corruption": "measurements.corruption",
    "speed": "measurements.speed.curves",
    "robust_fronts": "measurements.robustness.fronts",
}
WORDS = {
    "gmacs_mean_under_attack": "gmacs_mean",
    "saving_taken_back_pct": "saving_lost_pct",
    "speedup_promised": "speedup_theoretical",
    "rounds_kept": "rounds_valid",
}


def numbers(body: Any, place: str = "") -> Iterator[tuple[str, float]]:
    """Every number of a board or an entry, of either version, with its place in version 2."""
    if isinstance(body, dict | list):
        inner = body.items() if isinstance(body, dict) else enumerate(body)
        for name, value in inner:
            known = WORDS if place else PLACES
            yield from numbers(value, f"{place}.{known.get(name, name)}")
    elif isinstance(body, int | float) and not isinstance(body, bool):
        yield place, body


def rest_of(board: dict[str, Any]) -> dict[str, Any]:
    """What a board holds besides its entries."""
    return {name: value for name, value in board.items() if name not in ("entries", "schema_version")}


def compact(board: dict[str, Any]) -> dict[str, Any]:
    """Ids, key numbers, and hashes of all numbers."""

    def digest(body: dict[str, Any]) -> str:
        lines = sorted(f"{place}={number!r}" for place, number in numbers(body))
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]

    return {
        "rest": digest(rest_of(board)),
        "entries": [
            [entry["record_id"], *(entry[key] for key in KEYS), len(list(numbers(entry))), digest(entry)]
            for entry in board["entries"]
        ],
    }


@pytest.mark.parametrize("name", [name for name in THEN if name != "digits.json"])  # made again since
def test_every_number_of_the_boards_of_version_1_is_found_again(name: str) -> None:
    folder = TESTS / "boards" if name == "cifar10.json" else PUBLISHED  # made again since, and kept for the tests
    board = json.loads((folder / name).read_text())
    assert board["schema_version"] == 2
    assert compact(board) == THEN[name]


def test_every_number_is_converted_to_its_place() -> None:
    then = json.loads((FROZEN / "leaderboard.json").read_text())
    now = read_board(FROZEN / "leaderboard.json").model_dump(mode="json")
    assert dict(numbers(rest_of(now))) == dict(numbers(rest_of(then)))
    for entry, old in zip(now["entries"], then["entries"], strict=True):
        assert dict(numbers(entry)) == dict(numbers(old))
    measured = {name for entry in now["entries"] for name in entry["measurements"]}
    assert measured == {"robustness", "corruption", "speed"}


def test_converting_again_changes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    board = Path(shutil.copy(FROZEN / "leaderboard.json", tmp_path))
    read = read_board(board)
    assert main(["convert", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"{board}: version 1 is now 2\n"
    once = board.read_bytes()
    assert json.loads(once)["schema_version"] == 2
    assert read_board(board) == read
    assert main(["convert", str(board)]) == 0
    assert capsys.readouterr().out == f"{board}: version 2 already\n"
    assert board.read_bytes() == once
    assert [path.name for path in tmp_path.iterdir()] == ["leaderboard.json"]


@pytest.mark.parametrize("file", sorted(PUBLISHED.glob("*.json")), ids=lambda path: path.stem)
def test_a_published_board_is_as_it_would_be_written(file: Path, tmp_path: Path) -> None:
    read_board(file).write(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == file.read_bytes()


def test_a_measurement_that_is_not_installed_is_kept_and_does_no_harm(measure, tmp_path: Path) -> None:
    known = build_board(RunData([measure(gmacs=0.4), measure(gmacs=0.5)]))
    known.write(tmp_path / "known.json")
    body = json.loads((tmp_path / "known.json").read_text())
    said = {"calibration_error_pct": 3.5, "bins": [1, 2], "note": "x"}
    body["entries"][0]["measurements"]["smoothness"] = said
    body["entries"][1]["skipped"]["smoothness"] = "it has no logits"
    body["measurements"]["smoothness"] = {"mean_pct": 3.5}
    body = with_digest(body)
    (tmp_path / "board.json").write_text(json.dumps(body))
    board = read_board(tmp_path / "board.json")
    assert "smoothness" not in measurements.names()
    assert board.entries[0].measurements == {"smoothness": said}
    board.write(tmp_path / "again.json")
    assert json.loads((tmp_path / "again.json").read_text()) == body
    texts, pictures = [], []
    for each in (known, board):
        console = Console(width=120, file=io.StringIO(), record=True)
        print_board(each, console)
        texts.append(console.export_text())
        pictures.append({p.name: p.read_bytes() for p in write_pictures(each, tmp_path / str(len(pictures)))})
    assert texts[1].startswith(texts[0].rstrip())
    assert "smoothness was skipped" in texts[1]
    assert pictures[0] == pictures[1]
    assert board.to_dataframe()["smoothness.calibration_error_pct"].tolist()[0] == 3.5


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda board: board["measurements"]["robustness"]["fronts"][0].update(eps=-1.0), r"fronts\.0\.eps"),
        (lambda board: board["entries"][0]["measurements"]["robustness"].update(colour="red"), "colour"),
        (lambda board: board["entries"][0]["measurements"]["speed"]["curves"][0].update(threads=0), "threads"),
        (lambda board: board["entries"][0].update(top1_pct=101.0), "top1_pct"),
        (lambda board: board.update(schema_version=3), "schema_version"),
        (lambda board: board.update(schema_version=1, entries=None), "not a leaderboard of version 1"),
    ],
)
def test_what_cannot_be_true_is_refused_in_one_line(tmp_path: Path, change: Any, said: str) -> None:
    read_board(FROZEN / "leaderboard.json").write(tmp_path / "board.json")
    body = json.loads((tmp_path / "board.json").read_text())
    change(body)
    (tmp_path / "board.json").write_text(json.dumps(body))
    with pytest.raises(InputError, match=said) as caught:
        read_board(tmp_path / "board.json")
    assert "\n" not in str(caught.value)


if __name__ == "__main__":
    boards = {Path(name).name: compact(json.loads(Path(name).read_text())) for name in sys.argv[1:]}
    print(json.dumps(boards).replace(" [[", "\n[[").replace("], [", "],\n["))


def test_what_was_measured_besides_is_a_frame_of_its_own() -> None:
    board = read_board(PUBLISHED.parent / "tests" / "boards" / "cifar10.json")
    frame = board.to_dataframe("robustness")
    assert {"record_id", "eps"} <= set(frame.columns)
    assert set(frame["record_id"]) <= {entry.record_id for entry in board.entries}
    with pytest.raises(InputError, match="no rows of speed"):
        read_board(PUBLISHED / "digits.json").to_dataframe("speed")
