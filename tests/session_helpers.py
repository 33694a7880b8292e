"""Checkpoints trained for seconds, by the command line."""

from __future__ import annotations

from pathlib import Path

from dynvit.cli import main
from dynvit.data import ImageSource

SMALL_TRAINING = ("--dataset", "digits", "--backbone", "vit_digits", "--epochs", "1", "--limit-train", "128")


def train(folder: Path, method: str, *more: str) -> Path:
    """Train into the folder."""
    assert main(["train", "--method", method, *SMALL_TRAINING, "-b", "64", "-o", str(folder), *more]) == 0
    return folder


def keys_of(source: ImageSource) -> set[str]:
    """The images of a split."""
    return {sample.key for sample in source.manifest.samples}
