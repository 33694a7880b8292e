"""``dynvit verify --train``: entries whose weights are gone are trained as the command that made them says."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from bench_helpers import records

from dynvit.cli import main

SUITE = "methods: [dense, dynamicvit]\ntrain: true\nepochs: 2\nlr: 0.001\ndevice: cpu\noutput: elsewhere\n"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a bench by a suite, done as a share, whose weights are lost."""
    monkeypatch.chdir(tmp_path)
    Path("suite.yaml").write_text(SUITE)
    command = "bench -C suite.yaml --limit-train 64 --limit 30 --points 1 --share 1/1 -o out"
    monkeypatch.setattr(sys, "argv", ["dynvit", *command.split()])
    assert main(command.split()) == 0
    [folder] = [file.parent for file in Path("out").rglob("runs.jsonl")]
    Path("out", "train").rename("lost")
    return folder


def verify(folder: Path, out: str) -> int:
    return main(["verify", str(folder), "--seed", "0", "--train", "-o", out])


def test_the_suite_of_the_command_counts_and_its_parts_do_not(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(run, "again") == 0
    assert capsys.readouterr().out.count("agrees: trained again") == len(records(run))
    for label in ("dense", "dynamicvit"):
        was, made = (json.loads(Path(place, label, "config.json").read_text()) for place in ("lost", "again/train"))
        assert made["training"]["epochs"] == was["training"]["epochs"] == 2
        assert made["training"]["recipe"] == was["training"]["recipe"]
    assert not Path("elsewhere").exists()


def test_a_suite_that_was_edited_since_makes_what_differs(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("suite.yaml").write_text(SUITE.replace("0.001", "0.01"))
    assert verify(run, "again") == 1
    trained = [record for record in records(run) if record.training and record.training.recipe_sha256]
    out = capsys.readouterr().out
    assert out.count("DIFFERS: trained again by recipe") == len(trained) > 0
    assert trained[0].training is not None
    assert f"its record says {str(trained[0].training.recipe_sha256)[:12]}" in out


@pytest.mark.parametrize(
    ("suite", "says"),
    [
        (None, "reads its options from 'suite.yaml', which is not here: put that file there"),
        (SUITE + "weights: mine.safetensors\n", "begins with weights of its own machine"),
    ],
)
def test_what_lies_on_another_machine_is_said(
    run: Path, suite: str | None, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("suite.yaml").unlink() if suite is None else Path("suite.yaml").write_text(suite)
    assert verify(run, "again") == 2
    assert says in capsys.readouterr().err
    assert not Path("again").exists()
