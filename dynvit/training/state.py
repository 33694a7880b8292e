"""Where a training stands, in one file that is replaced whole: a killed process continues as if nothing happened."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dynvit.errors import InputError
from dynvit.files import write_whole
from dynvit.training.position import Position

STATE_VERSION = 1
_MARK = b"dynvit state, sha256\n"
Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class EpochLog:
    """One epoch as ``log.jsonl`` has it. ``held_out_top1_pct`` is null where nobody looked.

    Units: ``lr`` at the epoch's last step; ``images_per_s``, ``images`` and ``gmacs`` over all processes, ``gmacs`` of
    forward and backward passes as counted on the stage's first step; ``seconds`` of its steps.
    ``pieces`` is into how many a batch was cut where memory ran out, null where it never did.
    """

    stage: str
    epoch: int
    losses: dict[str, float]
    lr: dict[str, float]
    images_per_s: float
    held_out_top1_pct: float | None = None
    images: int = 0
    labels: bool = True
    gmacs: float = 0.0
    seconds: float = 0.0
    pieces: int | None = None

    @property
    def line(self) -> dict[str, Any]:
        """As it is written: without ``pieces`` where memory never ran out."""
        return {name: value for name, value in vars(self).items() if name != "pieces" or value is not None}


@dataclass(frozen=True)
class State:
    """A training after ``epochs_done`` epochs of stage number ``stage``, ``ended`` where its ``until`` said so.

    ``within`` is how far the next epoch has come; None at its beginning, where nothing random is kept, since each epoch
    seeds itself. ``step_gmacs`` is what the stage's first step came to, ``pieces`` into how many a batch was cut where
    memory ran out. ``frozen`` holds the frozen modules of a stage that has a ``begin``, which may have made them from
    weights that are gone by now.
    """

    stage: int
    epochs_done: int
    steps_done: int
    ended: bool
    model: Tensors
    optimizer: dict[str, Any]
    average: Tensors | None = None
    scaler: dict[str, Any] | None = None
    frozen: list[Tensors] = field(default_factory=list)
    history: tuple[EpochLog, ...] = ()
    step_gmacs: float | None = None
    within: Position | None = None
    pieces: int = 1

    def write(self, path: Path) -> None:
        """Replace the file at ``path``; it is on disk when this returns."""
        body = {name: getattr(self, name) for name in self.__dataclass_fields__}
        body["history"] = [entry.line for entry in self.history]
        body["within"] = None if self.within is None else vars(self.within)
        content = io.BytesIO()  # torch's own writing of files fails on a full disk with no OSError
        torch.save({"version": STATE_VERSION, **body}, content)
        saved = content.getvalue()
        write_whole(path, _MARK + hashlib.sha256(saved).digest() + saved)

    @classmethod
    def read(cls, path: Path) -> State | None:
        """The state in ``path``, or None where there is none.

        Raises: ``InputError`` for a file that is not one of this version's.
        """
        if not path.is_file():
            return None
        try:
            body = torch.load(io.BytesIO(_undamaged(path.read_bytes())), map_location="cpu", weights_only=True)
            if body.pop("version") != STATE_VERSION:
                raise ValueError("another version of dynvit wrote it")
            body["history"] = tuple(EpochLog(**entry) for entry in body["history"])
            state = cls(**body)  # of an older version: without its last fields
            return replace(state, within=Position(**body["within"])) if body.get("within") else state
        except Exception as error:  # a damaged pickle fails in whatever its bytes happened to mean
            raise InputError(
                f"cannot continue from {path} ({str(error) or type(error).__name__}): "
                "train into a new folder, or delete this file to begin again"
            ) from error


def _undamaged(content: bytes) -> bytes:
    """What was saved; of an older version without a hash, all of it. Raises: ``ValueError`` for damage."""
    if not content.startswith(_MARK):
        return content
    start = len(_MARK) + hashlib.sha256().digest_size
    saved = content[start:]
    if hashlib.sha256(saved).digest() != content[len(_MARK) : start]:
        raise ValueError("it is damaged: its SHA-256 is another")
    return saved
