"""Wrong input for a cascade on the command line: one line, exit code 2, nothing measured, nothing lost."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from data_helpers import hashes

from dynvit.cli import main
from dynvit.data import open_split
from dynvit.interface import OperatingPoint
from dynvit_methods.dvt.cascade import Cascade

SMALL = ("--epochs", "1", "--limit-train", "16", "--batch-size", "8", "--dataset", "digits", "--backbone", "vit_digits")
BENCH = ("bench", "--methods", "dvt", "--dataset", "digits", "--limit", "8", "--output", "OUT")
TRAIN = ("train", "--method", "dvt", "--output", "OUT", *SMALL)
EXPLAIN = ("explain", "--method", "dvt", "--checkpoint", "MADE/dvt", "MADE/0.png")
CHECKPOINT = ("--backbone", "vit_digits", "--method-checkpoint", "dvt=MADE/dvt")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained cascade, the same said to be without relation reuse, and a digit."""
    folder = tmp_path_factory.mktemp("dvt-faults")
    assert main(["train", "--method", "dvt", *SMALL, "-o", str(folder / "dvt")]) == 0
    open_split("digits", "validation").read(0).image.save(folder / "0.png")
    shutil.copytree(folder / "dvt", folder / "flags")
    config = json.loads((folder / "flags" / "config.json").read_text())
    config["method"]["options"]["relation_reuse"] = "off"
    (folder / "flags" / "config.json").write_text(json.dumps(config))
    return folder


FAULTS = {
    "threshold-range": (
        (*EXPLAIN, "--knob", "threshold_1=1.5", "--knob", "threshold_2=0"),
        ["threshold_1 must lie in [0.0, 1.0], got 1.5"],
    ),
    "threshold-missing": ((*EXPLAIN, "--knob", "threshold_1=0.5"), ["lacks threshold_2"]),
    "threshold-too-many": (
        (*EXPLAIN, *(word for k in (1, 2, 3) for word in ("--knob", f"threshold_{k}=0.5"))),
        ["unknown knob 'threshold_3'", "did you mean"],
    ),
    "budget-under": ((*EXPLAIN, "--budget", "1e-5"), ["its first exit", "all exits", "got 1e-05"]),
    "budget-over": ((*EXPLAIN, "--budget", "1"), ["its first exit", "all exits", "got 1"]),
    "bench-budget-under": ((*BENCH, *CHECKPOINT, "--budgets", "1e-5"), ["out of range: dvt goes from", " to "]),
    "bench-budget-over": ((*BENCH, *CHECKPOINT, "--budgets", "1"), ["out of range: dvt goes from", " to "]),
    "grid": ((*TRAIN, "--option", "grids=2,9"), ["the grid of an image of 8 pixels must be 1 to 8", "got 9"]),
    "grids-falling": ((*TRAIN, "--option", "grids=4,2"), ["grids must be 2 to 4 rising numbers", "(4, 2)"]),
    "other-backbone": (
        (*BENCH, "--backbone", "vit_cifar", "--method-checkpoint", "dvt=MADE/dvt"),
        ["was made with backbone vit_digits", "--backbone is vit_cifar"],
    ),
    "other-flags": (
        (*BENCH, "--backbone", "vit_digits", "--method-checkpoint", "dvt=MADE/flags"),
        ["exits.1.relations", "method dvt"],
    ),
    "flags-asked-for": (
        (*BENCH, *CHECKPOINT, "--option", "dvt.relation_reuse=off"),
        ["was made with dvt.relation_reuse=full, not off"],
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_wrong_input_is_one_line(fault: str, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words, says = FAULTS[fault]
    before = hashes(made)
    given = [word.replace("MADE", str(made)).replace("OUT", str(tmp_path / "out")) for word in words]
    assert main(given) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1, said
    assert said.startswith("dynvit: error: ")
    for part in says:
        assert part in said, said
    assert hashes(made) == before
    assert not any(runs.read_text() for runs in tmp_path.rglob("*.jsonl"))
    assert not list(tmp_path.rglob("*.safetensors"))


def test_budgets_with_the_same_point_give_a_warning(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    alike = OperatingPoint(threshold_1=0.0, threshold_2=1.0)
    monkeypatch.setattr(Cascade, "solve", lambda self, budgets, calibration: [alike for _ in budgets])
    words = [*BENCH, *CHECKPOINT, "--points", "3"]
    assert main([word.replace("MADE", str(made)).replace("OUT", str(tmp_path)) for word in words]) == 0
    assert "dvt has 1 points for 3 budgets: the same point is best at" in capsys.readouterr().err
