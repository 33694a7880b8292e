"""The folder of a training: whose it is, and what a killed training left there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dynvit.backbones.weights import find_weights
from dynvit.checkpoint import CONFIG, WEIGHTS
from dynvit.errors import InputError
from dynvit.files import atomic, sha256_of
from dynvit.reading import read_json
from dynvit.training.request import TrainRequest

REQUEST, STATE, LOG = "request.json", "state/state.pt", "log.jsonl"
_OURS = (CONFIG, WEIGHTS, STATE, LOG)


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
        if there.get(name) != asked.get(name):
            raise InputError(
                f"{folder} holds another training, with {name} {there.get(name)!r} where {asked.get(name)!r} is asked "
                "for: give a new folder with --output, or the same settings"
            )
    return True


def claim_folder(folder: Path, request: TrainRequest) -> None:
    """Write whose folder it is."""
    with atomic(folder / REQUEST) as temporary:
        temporary.write_text(json.dumps(_identity(request), indent=2) + "\n", encoding="utf-8")


def _identity(request: TrainRequest) -> dict[str, Any]:
    """The request as it is compared: weights by what they are, not by where they lie."""
    sha256 = None if request.weights is None else sha256_of(find_weights(request.weights))
    body: dict[str, Any] = request.model_dump(mode="json", exclude={"weights"})
    return body | {"weights_sha256": sha256}
