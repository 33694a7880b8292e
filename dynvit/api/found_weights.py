"""Weights found by their hash, in the places where they may lie on this machine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from dynvit.backbones.weights import find_weights
from dynvit.checkpoint import WEIGHTS, is_checkpoint
from dynvit.errors import InputError
from dynvit.files import sha256_of
from dynvit.interface import methods
from dynvit.leaderboard.place import Place
from dynvit.leaderboard.record import Record
from dynvit.published import fetch, find
from dynvit.session import checkpoint_facts

_KINDS = (".safetensors", ".pth", ".pt", ".tar", ".bin")
MODELS = "models"
"""A published board's checkpoints lie in ``NAME.models``, a run's in ``train``."""


@dataclass(frozen=True)
class Weights:
    """Files with weights below some places, by their SHA-256. A checkpoint of ours is known by its folder."""

    places: tuple[Path, ...]
    _known: dict[str, Path] = field(default_factory=dict, init=False)

    @classmethod
    def beside(cls, place: Place, further: Iterable[Path]) -> Weights:
        """Those of a board or a run, and of further places. Raises: ``InputError`` for one that is not there."""
        places = tuple(further)
        for one in places:
            if not one.exists():
                raise InputError(f"no file or folder {str(one)!r}: give where the weights lie, by --run or --weights")
        own = place.file(MODELS) if place.is_published else place.folder / "train"
        return cls((own, *places))

    def find(self, sha256: str) -> Path | None:
        """The checkpoint's folder, or the file; None where it lies nowhere here."""
        if not self._known:
            for path, known in self._all():
                self._known.setdefault(known, path)
        return self._known.get(sha256)

    def of_method(self, record: Record) -> Path | None:
        """A record's checkpoint; what its authors publish is fetched. Raises: ``InputError`` where it cannot be."""
        assert record.checkpoint is not None
        found = self.find(record.checkpoint.sha256)
        published = methods.get(record.method.name)().published
        if found is None and any(one.name == record.checkpoint.uri for one in published):
            file = fetch(find(methods.get(record.method.name)(), record.checkpoint.uri))
            return file if sha256_of(file) == record.checkpoint.sha256 else None
        return found

    def of_backbone(self, record: Record) -> Path | None:
        """The weights under a record without a checkpoint; those of the Hub are fetched."""
        sha256, uri = record.backbone.weights_sha256, record.backbone.weights_uri
        found = None if sha256 is None else self.find(sha256)
        if found is None and uri is not None and uri.startswith("hf://"):
            file = find_weights(uri)
            return file if sha256_of(file) == sha256 else None
        return found

    def _all(self) -> Iterator[tuple[Path, str]]:
        for place in self.places:
            files = [place] if place.is_file() else sorted(place.rglob("*")) if place.is_dir() else []
            for file in files:
                if file.suffix not in _KINDS or not file.is_file():
                    continue
                if file.name == WEIGHTS and is_checkpoint(file.parent):
                    yield file.parent, checkpoint_facts(file.parent).weights_sha256
                else:
                    yield file, sha256_of(file)
