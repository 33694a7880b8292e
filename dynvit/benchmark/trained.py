"""What lies trained in a bench's folder: what is kept of a bench holds for these trainings, and for no other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from dynvit.backbones.build import BackboneInfo
from dynvit.benchmark.config import TRAINED
from dynvit.benchmark.prepare import Preparation
from dynvit.checkpoint import CONFIG
from dynvit.errors import InputError
from dynvit.files import sha256_of
from dynvit.leaderboard.record import BackboneRecord, CheckpointRecord
from dynvit.leaderboard.store import RUNS, RunStore
from dynvit.session import OpenModel


def trained(folder: Path, preparation: Preparation) -> dict[str, str]:
    """What was trained in a bench's folder: each checkpoint by a hash of what it says of itself."""
    training, start = folder / TRAINED, preparation.start
    names = [one.label for one in preparation.planned if one.trained] + ([start] if start else [])
    return {name: sha256_of(training / name / CONFIG) for name in names if (training / name / CONFIG).is_file()}


def check_records(folder: Path, models: Sequence[OpenModel]) -> None:
    """Hold a folder's records to the trainings that are open: one board does not mix those of an earlier one with them.

    Raises: ``InputError`` where a record names other weights by the place of a training; the records stay.
    """
    now = {uri: sha256 for one in models for uri, sha256 in _weights(one.checkpoint, one.backbone)}
    earlier = [
        (uri, sha256, now[uri])
        for record in RunStore(folder / RUNS).read()
        for uri, sha256 in _weights(record.checkpoint, record.backbone)
        if now.get(uri, sha256) != sha256
    ]
    if earlier:
        uri, was, made = earlier[0]
        raise InputError(
            f"{folder / RUNS} holds results of an earlier training: {uri} was {was[:12]} and is {made[:12]}; put the "
            f"weights of then back, or move {TRAINED}/ into a new folder and give that with --output"
        )


def _weights(checkpoint: CheckpointRecord | None, backbone: BackboneInfo | BackboneRecord) -> Iterator[tuple[str, str]]:
    """The weights that lie in a bench's training folder: where, and their hash."""
    named = [(backbone.weights_uri, backbone.weights_sha256)]
    named += [(checkpoint.uri, checkpoint.sha256)] if checkpoint else []
    for uri, sha256 in named:
        if uri is not None and sha256 is not None and uri.startswith(f"{TRAINED}/"):
            yield uri, sha256
