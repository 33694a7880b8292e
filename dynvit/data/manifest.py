"""Every sample of a split, by shard and offset: the list that evaluation is checked against."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, NonNegativeInt, StringConstraints, ValidationError, model_validator

from dynvit.errors import InputError, first_fault
from dynvit.files import atomic

INFO, CLASS_NAMES = "_info.json", "classnames.txt"


@dataclass(frozen=True, slots=True)
class Sample:
    """One image: ``size`` bytes from ``offset`` in ``shard``; ``key`` names it, ``sha256`` is of the bytes.

    Units: ``offset`` and ``size`` in bytes. In a set without shards, ``offset`` is the row.
    """

    shard: str
    key: str
    label: int
    offset: int
    size: int
    sha256: str


_TYPES = {"shard": str, "key": str, "label": int, "offset": int, "size": int, "sha256": str}
_SHA256 = re.compile("^[0-9a-f]{64}$")


@dataclass(frozen=True)
class Manifest:
    """The samples of a split in their order.

    >>> one = Sample("a.tar", "cat/1", 3, 512, 4, "00ff")
    >>> Manifest((one,)).sha256[:12], len(Manifest((one,)))
    ('57df052bce4a', 1)
    """

    samples: tuple[Sample, ...]

    def __len__(self) -> int:
        return len(self.samples)

    @cached_property
    def sha256(self) -> str:
        """Hash over the lines ``key label size sha256``: the same images in the same order, however sharded."""
        digest = hashlib.sha256()
        for sample in self.samples:
            digest.update(f"{sample.key} {sample.label} {sample.size} {sample.sha256}\n".encode())
        return digest.hexdigest()

    def write(self, path: Path) -> None:
        """Write as JSON lines, atomically."""
        import jsonlines

        with atomic(path) as temporary, jsonlines.open(temporary, "w", compact=True) as lines:
            lines.write_all(asdict(sample) for sample in self.samples)

    @classmethod
    def read(cls, path: Path) -> Manifest:
        """Read JSON lines.

        Raises: ``InputError`` where a line is not a sample.
        """
        import jsonlines

        try:
            with jsonlines.open(path) as lines:
                return cls(tuple(_sample(line, number) for number, line in enumerate(lines, 1)))
        except (ValueError, TypeError, AttributeError, RecursionError, jsonlines.Error) as error:
            raise InputError(f"{path} is not a manifest ({error}): delete it, or pack the data again") from error

    def unique_keys(self) -> Manifest:
        """This manifest, checked to have each key once: results are gathered by key.

        Raises: ``InputError`` naming a key that occurs twice.
        """
        seen: dict[str, str] = {}
        for sample in self.samples:
            if sample.key in seen:
                raise InputError(
                    f"key {sample.key!r} is in {seen[sample.key]} and again in {sample.shard}: "
                    "keys must be unique in a split; pack the data again"
                )
            seen[sample.key] = sample.shard
        return self


def _sample(line: Mapping[str, Any], number: int) -> Sample:
    """Raises: ``ValueError`` naming the line, for one whose values an image cannot be held to."""
    found = {name: line.get(name) for name in _TYPES}
    for name, value in found.items():
        if type(value) is not _TYPES[name]:
            raise ValueError(f"line {number}: {name} must be of type {_TYPES[name].__name__}, got {value!r}")
    sample = Sample(**found)  # type: ignore[arg-type]
    if sample.offset < 0 or sample.size < 0 or not _SHA256.fullmatch(sample.sha256):
        raise ValueError(f"line {number}: offset and size must be 0 or more, and sha256 64 hexadecimal digits")
    return sample


@dataclass(frozen=True)
class SplitInfo:
    """One split of ``_info.json``; ``shard_lengths`` is empty where the samples are not counted.

    ``shard_sha256`` is empty in what others pack: the convention has no hashes, and takes more fields.
    """

    name: str
    filenames: tuple[str, ...]
    shard_lengths: tuple[int, ...] = ()
    shard_sha256: tuple[str, ...] = ()

    @property
    def num_samples(self) -> int | None:
        """Samples in the split, or ``None`` where they are not counted."""
        return sum(self.shard_lengths) if self.shard_lengths else None


def read_info(text: str | bytes, where: str) -> dict[str, SplitInfo]:
    """The splits by name from the text of an ``_info.json`` in the convention of ``timm/imagenet-1k-wds``.

    Raises: ``InputError`` where it is not one.
    """
    try:
        found = _Info.model_validate_json(text).splits
    except (ValidationError, UnicodeDecodeError) as error:
        said = first_fault(error) if isinstance(error, ValidationError) else str(error)
        raise InputError(
            f"{where} is not in the convention of timm/imagenet-1k-wds ({said}): it must hold splits with filenames "
            "and shard_lengths; `dynvit data pack` writes it"
        ) from error
    return {
        name: SplitInfo(name, split.filenames, split.shard_lengths, split.shard_sha256) for name, split in found.items()
    }


class _Split(BaseModel):
    """What must stand of a split; more may."""

    model_config = ConfigDict(strict=True)
    filenames: tuple[str, ...]
    shard_lengths: tuple[NonNegativeInt, ...]
    shard_sha256: tuple[Annotated[str, StringConstraints(pattern=_SHA256)], ...] = ()

    @model_validator(mode="after")
    def _one_each(self) -> Self:
        if len(self.filenames) != len(self.shard_lengths):
            raise ValueError("filenames and shard_lengths differ in length")
        if self.shard_sha256 and len(self.filenames) != len(self.shard_sha256):
            raise ValueError("filenames and shard_sha256 differ in length")
        return self


class _Info(BaseModel):
    splits: dict[str, _Split]


def info_text(splits: Iterable[SplitInfo]) -> str:
    """The text of ``_info.json`` for these splits."""
    body: Mapping[str, Any] = {
        split.name: {
            "name": split.name,
            "num_samples": split.num_samples,
            "filenames": list(split.filenames),
            "shard_lengths": list(split.shard_lengths),
        }
        | ({"shard_sha256": list(split.shard_sha256)} if split.shard_sha256 else {})
        for split in splits
    }
    return json.dumps({"splits": body}, indent=1) + "\n"


def class_names_text(names: Iterable[str]) -> str:
    """The text of ``classnames.txt``: a name a line, in the order of the labels."""
    return "".join(f"{name}\n" for name in names)


def read_class_names(path: Path) -> tuple[str, ...]:
    """The names in a ``classnames.txt``, by label. Two classes may have one name: a crane is a bird and a machine.

    Raises: ``InputError`` where it holds none, or not text with a name in each line.
    """
    try:
        names = path.read_bytes().decode("utf-8-sig").rstrip().split("\n")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} must be UTF-8, a class name a line ({error})") from error
    names = [name.strip() for name in names]
    if "" in names:
        raise InputError(f"{path} must hold a class name in each line: line {names.index('') + 1} is empty")
    return tuple(names)
