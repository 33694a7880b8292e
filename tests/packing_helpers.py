"""Sources that are packed in tests: as they are, as an archive, or refused."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

import pytest

from dynvit.data.packing import Packed, pack
from dynvit.errors import InputError


def packed(source: Path, **options: object) -> tuple[Packed, Path]:
    out = source.parent / f"{source.name.split('.')[0]}-out"
    return pack(source, out, quiet=True, **options), out  # type: ignore[arg-type]


def refusal(source: Path, **options: object) -> str:
    """The line that packing the source is refused with; nothing is left behind."""
    with pytest.raises(InputError) as caught:
        packed(source, **options)
    assert not list(source.parent.glob("*-out"))
    assert len(str(caught.value)) < 700
    return str(caught.value)


def tarred(folder: Path, target: Path, top: str = ".") -> Path:
    with tarfile.open(target, "w:gz" if target.suffix == ".tgz" else "w") as archive:
        archive.add(folder, top)
    shutil.rmtree(folder)
    return target
