"""Wrong input for MIA-Former on the command line: one line, exit code 2, nothing written."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.torch import save_file

from dynvit.backbones.build import BackboneSpec, build
from dynvit.cli import main

TRAIN = ("train", "--method", "mia", "--dataset", "digits", "-o", "OUT", "--backbone")
DIGITS = (*TRAIN, "vit_digits")
BENCH = ("bench", "--methods", "mia", "--no-train", "--weights", "DENSE", "-o", "OUT")

FAULTS = {
    "target-over-dense": ((*DIGITS, "--target", "1.5"), ["--target must be less than or equal to 1", "got 1.5"]),
    "target-option-under-controllers": ((*DIGITS, "--option", "target=0.01"), ["got 0.01", "above", "at most 1"]),
    "target-under-controllers": (
        (*DIGITS, "--target", "0.01"),
        ["got 0.01", "must be above", "of it the controllers", "at most 1"],
    ),
    "dimension": ((*DIGITS, "--option", "dimensions=width"), ["dimension 'width'", "depth, heads, tokens"]),
    "no-dimension": ((*DIGITS, "--option", "dimensions=,"), ["dimensions"]),
    "backbone": ((*TRAIN, "resnet18"), ["'resnet18'", "a LeViT, or a plain timm ViT"]),
    "levit-twin": ((*TRAIN, "levit_conv_128s"), ["'levit_conv_128s'", "without conv"]),
    "inheritance": ((*DIGITS, "--option", "inherit=75"), ["inherit", "75", "1"]),
    "untrained": (BENCH, ["'mia'", "--method-checkpoint mia=PATH", "--train"]),
}


@pytest.mark.parametrize(("words", "says"), FAULTS.values(), ids=FAULTS)
def test_one_line_says_what_is_wrong_and_what_is_allowed(
    words: tuple[str, ...], says: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, dense = tmp_path / "out", tmp_path / "dense.safetensors"
    if "DENSE" in words:
        save_file(build(BackboneSpec("vit_digits", num_classes=10)).state_dict(), dense)
    assert main([{"OUT": str(out), "DENSE": str(dense)}.get(word, word) for word in words]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    for part in says:
        assert part in said.err
    assert not out.exists()
