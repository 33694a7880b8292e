"""``dynvit explain``: what it says is what ``predict`` did, and wrong input is one line."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from data_helpers import hashes
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dynvit.cli import main
from dynvit.data import open_split
from dynvit.explain.exits import Departures, easy_and_hard
from dynvit.explain.images import read_image
from dynvit.interface import OperatingPoint
from dynvit.testing import Subject
from dynvit_methods.dvt import DVT, DVTOptions
from dynvit_methods.dvt.cascade import Cascade

SMALL = ("--epochs", "1", "--limit-train", "16", "--batch-size", "8", "--dataset", "digits", "--backbone", "vit_digits")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained cascade, three digits, and a file that is no image."""
    folder = tmp_path_factory.mktemp("explain")
    assert main(["train", "--method", "dvt", *SMALL, "-o", str(folder / "dvt")]) == 0
    source = open_split("digits", "validation")
    for index in range(3):
        source.read(index).image.save(folder / f"{index}.png")
    (folder / "bad.png").write_bytes(b"no image")
    return folder


def explain(made: Path, *words: str) -> int:
    return main(["explain", "--method", "dvt", "--checkpoint", str(made / "dvt"), *words])


def rows(file: Path) -> list[dict[str, str]]:
    with file.open() as lines:
        return list(csv.DictReader(lines))


@pytest.mark.parametrize("criterion", ["confidence", "entropy", "patience"])
def test_an_explanation_is_what_predict_did(criterion: str) -> None:
    options = DVTOptions(grids=(2, 3, 4), criterion=criterion)
    model, method = Subject.of("dvt", options=options).model(), DVT()
    assert isinstance(model, Cascade)
    assert method.explains
    images = torch.rand(9, 3, 8, 8, dtype=torch.float64)
    never = model.predict(images, OperatingPoint(threshold_1=1.0, threshold_2=1.0))
    middle = [float(scores.median()) for scores in never.scores]
    for limits in (middle, [0.0, 1.0], [1.0, 1.0]):
        point = OperatingPoint(threshold_1=limits[0], threshold_2=limits[1])
        done = model.predict(images, point)
        assert done.usage.exit is not None
        for image, found in enumerate(method.explain(model, images, point)):
            last = int(done.usage.exit[image])
            assert found.text.startswith(f"leaves at exit {last + 1} of 3 ")
            assert found.answer == int(done.logits[image].argmax()) == found.steps["answer"][-1]
            assert {len(values) for values in found.steps.values()} == {last + 1}
            sure = never.exit_logits[: last + 1, image].softmax(-1).amax(-1)
            assert found.steps["confidence"] == pytest.approx(sure.tolist())
            assert ("≥" in found.text) == (last < 2)


def test_images_are_explained_line_by_line(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [str(made / f"{index}.png") for index in range(3)]
    out = tmp_path / "out"
    assert explain(made, *files, "--knob", "threshold_1=0", "--knob", "threshold_2=0.5", "-o", str(out)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "at threshold_1=0, threshold_2=0.5"
    for file, line in zip(files, lines[1:4], strict=True):
        assert re.match(rf"{re.escape(file)}: \d; leaves at exit 1 of 3 \(2×2 tokens, .*≥ 0\.000$", line)
    assert lines[4:] == [str(out / "explained.png"), str(out / "explained.csv")]
    assert [row["image"] for row in rows(out / "explained.csv") if row["number"] == "confidence"] == files


def test_a_split_is_drawn_the_same_every_time(made: Path, tmp_path: Path) -> None:
    for folder in ("one", "two"):
        words = ("--dataset", "digits", "--limit", "60", "--points", "4", "--per-class", "2")
        assert explain(made, *words, "-o", str(tmp_path / folder)) == 0
    assert hashes(tmp_path / "one") == hashes(tmp_path / "two")
    assert set(hashes(tmp_path / "one")) == {"easy_hard.png", "exit_shares.png", "exit_shares.csv"}
    shares = rows(tmp_path / "one" / "exit_shares.csv")
    assert len(shares) == 4
    for row in shares:
        assert sum(float(value) for name, value in row.items() if name.startswith("exit_")) == pytest.approx(1)
    assert float(shares[0]["exit_1"]) == 1


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.floats(0, 1)), min_size=1, max_size=30))
def test_easy_images_left_first_and_hard_ones_last(images: list[tuple[int, int, float]]) -> None:
    labels, exits, sure = (np.array(column) for column in zip(*images, strict=True))
    nothing = np.zeros((1, len(labels)))
    found = Departures(np.arange(len(labels)), labels, exits[None], nothing.astype(int), sure[None], nothing)
    for row in easy_and_hard(found, 0, 3):
        for columns, exit, sign in ((row.easy, 0, -1), (row.hard, max(exits.max(), 1), 1)):
            candidates = sorted(sign * sure[(labels == row.label) & (exits == exit)])
            assert [sign * sure[column] for column in columns] == candidates[:3]
            assert all(labels[column] == row.label and exits[column] == exit for column in columns)


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("MADE/bad.png", ("bad.png", "not an image")),
        ("MADE/0.png MADE/none.png", ("no image", "none.png")),
        ("", ("--dataset", "one of the two")),
        ("MADE/0.png --dataset digits", ("one of the two",)),
        ("--dataset digits", ("--output",)),
        ("--dataset digits -o MADE/bad.png", ("--output", "is a file")),
        ("--dataset digit -o out", ("dataset 'digit'", "'digits'")),
        ("MADE/0.png --knob threshold_1=0.5", ("--knob", "threshold_2", "budget")),
        ("MADE/0.png --knob treshold_1=0.5", ("'treshold_1'", "'threshold_1'")),
        ("MADE/0.png --knob threshold_1", ("NAME=VALUE",)),
        ("MADE/0.png --knob threshold_1=2", ("threshold_1", "[0.0, 1.0]", "got 2")),
        ("MADE/0.png --knob threshold_1=high", ("threshold_1", "number", "'high'")),
        ("MADE/0.png --knob threshold_1=1 --budget 1", ("--knob", "--budget")),
        ("MADE/0.png --budget 1", ("its first exit", "got 1")),
        ("MADE/0.png --method topk", ("'topk'", "those that do are adavit")),
        ("MADE/0.png --method dvtt", ("method 'dvtt'", "'dvt'")),
        ("MADE/0.png --checkpoint MADE", ("no checkpoint", "dynvit train")),
    ],
)
def test_wrong_input_is_one_line(
    made: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
    says: tuple[str, ...],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert explain(made, *(word.replace("MADE", str(made)) for word in command.split())) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert all(part in said for part in says), said
    assert not list(tmp_path.iterdir())


def test_grey_of_sixteen_bits_is_not_cut_off(tmp_path: Path) -> None:
    file = tmp_path / "deep.png"
    Image.fromarray(np.array([[0, 257 * 100], [257 * 200, 65535]], dtype=np.uint16)).save(file)
    assert np.asarray(read_image(file))[..., 0].tolist() == [[0, 100], [200, 255]]
