"""The folder of a training: whose it is, on which images, and what a killed training left there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dynvit.backbones.weights import find_weights
from dynvit.checkpoint import CONFIG, WEIGHTS, is_checkpoint
from dynvit.errors import InputError
from dynvit.files import atomic, sha256_of
from dynvit.reading import read_json
from dynvit.session import checkpoint_facts
from dynvit.training.request import TrainRequest

REQUEST, STATE, LOG = "request.json", "state/state.pt", "log.jsonl"
_OURS = (CONFIG, WEIGHTS, STATE, LOG)
_MANIFEST = "train_manifest_sha256"


def check_folder(folder: Path, request: TrainRequest) -> bool:
    """Whether ``folder`` holds this very training, begun or finished; False where it holds none.

    Raises: ``InputError`` where it holds another, naming what differs.
    """
    file = folder / REQUEST
    if not file.is_file():
        if folder.exists() and (not folder.is_dir() or any((folder / name).exists() for name in _OURS)):
            raise InputError(f"{folder} holds something else than a training: give a new folder with --output")
        return False
    try:
        there = read_json(file)
    except InputError as error:
        raise InputError(f"{error}; give a new folder with --output") from error
    if not isinstance(there, dict):
        raise InputError(f"{file} holds no training's settings: give a new folder with --output")
    asked = _identity(request)
    for name in {**there, **asked}:
        if name != _MANIFEST and there.get(name) != asked.get(name):
            raise InputError(
                f"{folder} holds another training, with {name} {there.get(name)!r} where {asked.get(name)!r} is asked "
                "for: give a new folder with --output, or the same settings"
            )
    return True


def check_images(folder: Path, manifest_sha256: str) -> None:
    """Hold the images of a folder's training to those that it would be given now; what is not written there passes.

    Raises: ``InputError`` where they are others, with both manifests.
    """
    there = _trained_on(folder)
    if there is not None and there != manifest_sha256:
        raise InputError(
            f"{folder} holds a training on the images of manifest {there[:12]}, and those that are given have "
            f"{manifest_sha256[:12]}: give the data that it was begun on by --data-dir, or a new folder with --output"
        )


def _trained_on(folder: Path) -> str | None:
    """The manifest of a folder's training images; None where an older dynvit has not written it, or nobody has."""
    if is_checkpoint(folder):
        training = checkpoint_facts(folder).training
        return None if training is None else training.train_manifest_sha256
    file = folder / REQUEST
    return read_json(file).get(_MANIFEST) if file.is_file() else None


def claim_folder(folder: Path, request: TrainRequest, manifest_sha256: str) -> None:
    """Write whose folder it is, and the manifest of the images that it is trained on."""
    with atomic(folder / REQUEST) as temporary:
        body = _identity(request) | {_MANIFEST: manifest_sha256}
        temporary.write_text(json.dumps(body, indent=2) + "\n", encoding="utf-8")


def _identity(request: TrainRequest) -> dict[str, Any]:
    """The request as it is compared: weights by what they are, not by where they lie."""
    sha256 = None if request.weights is None else sha256_of(find_weights(request.weights))
    body: dict[str, Any] = request.model_dump(mode="json", exclude={"weights"})
    return body | {"weights_sha256": sha256}
