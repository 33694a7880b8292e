"""What lies trained in a bench's folder: what is kept of a bench holds for these trainings, and for no other."""

from __future__ import annotations

from pathlib import Path

from dynvit.benchmark.config import TRAINED
from dynvit.benchmark.prepare import Preparation
from dynvit.checkpoint import CONFIG
from dynvit.files import sha256_of


def trained(folder: Path, preparation: Preparation) -> dict[str, str]:
    """What was trained in a bench's folder: each checkpoint by a hash of what it says of itself."""
    training, start = folder / TRAINED, preparation.start
    names = [one.label for one in preparation.planned if one.trained] + ([start] if start else [])
    return {name: sha256_of(training / name / CONFIG) for name in names if (training / name / CONFIG).is_file()}
