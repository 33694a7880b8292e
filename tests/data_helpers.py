"""Small real files for the data tests: images, class folders, shards; and where the shared data is."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dynvit.data.datasets import DatasetSpec
from dynvit.data.manifest import CLASS_NAMES, INFO, Manifest, Sample, SplitInfo, info_text
from dynvit.data.packing import pack
from dynvit.data.source import ArraySource, ImageSource
from dynvit.data.transforms import Preprocessing

PLAIN = Preprocessing(8, 1.0, "bicubic", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))

SHARED = Path(os.environ.get("DYNVIT_DATA") or Path(__file__).parents[2] / "shared" / "data")
needs_imagenet = pytest.mark.skipif(
    not (SHARED / "imagenet").is_dir(), reason="no ImageNet shards: set DYNVIT_DATA to a folder with imagenet/"
)


def picture(seed: int, size: int = 8, kind: str = "png") -> bytes:
    """An encoded image of random pixels."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size, size, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def write_shard(path: Path, samples: Iterable[tuple[str, int, bytes]]) -> None:
    """A shard as other tools write it: no manifest, image before label."""
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for key, label, content in samples:
            for name, data in ((f"{key}.png", content), (f"{key}.cls", str(label).encode())):
                member = tarfile.TarInfo(name)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))


def write_dataset(folder: Path, split_sizes: dict[str, int], shards: int = 2, classes: int = 10) -> Path:
    """Shards of 8-pixel images with an ``_info.json``; returns ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    infos = []
    for split, size in split_sizes.items():
        parts = np.array_split(np.arange(size), shards)
        names = tuple(f"demo-{split}-{number:02d}.tar" for number in range(shards))
        for name, part in zip(names, parts, strict=True):
            write_shard(folder / name, [(f"{split}{i:04d}", int(i) % classes, picture(int(i))) for i in part])
        infos.append(SplitInfo(split, names, tuple(len(part) for part in parts)))
    (folder / INFO).write_text(info_text(infos))
    return folder


def write_tree(folder: Path, splits: Iterable[str] = ("train", "test"), each: int = 3) -> Path:
    """A class-folder tree of two classes; returns ``folder``."""
    for split in splits:
        for c, name in enumerate(("cat", "dog")):
            (folder / split / name).mkdir(parents=True)
            for i in range(each):
                (folder / split / name / f"{i:02d}.png").write_bytes(picture(100 * c + i + len(split)))
    return folder


def put(root: Path, *paths: str) -> Path:
    """An image at each path, of the kind that its name says as far as Pillow knows it; returns ``root``."""
    kinds = {".png": "png", ".webp": "webp", ".bmp": "bmp", ".gif": "gif", ".tif": "tiff", ".avif": "avif"}
    for number, path in enumerate(paths):
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(picture(number + len(path), kind=kinds.get(file.suffix.lower(), "jpeg")))
    return root


def packed_classes(folder: Path, split: str = "validation") -> dict[str, str]:
    """The class name of each key of a packed split."""
    names = (folder / CLASS_NAMES).read_text("utf-8").splitlines()
    return {s.key: names[s.label] for s in Manifest.read(folder / f"manifest-{split}.jsonl").samples}


def packed_labels(folder: Path, split: str = "validation") -> dict[str, int]:
    """The label of each key of a packed split."""
    return {s.key: s.label for s in Manifest.read(folder / f"manifest-{split}.jsonl").samples}


def pack_pets(place: Path) -> Path:
    """20 training and 10 validation images of cats and dogs, from raw/ packed into data/pets; returns that."""
    for split, each in (("train", 10), ("val", 5)):
        write_tree(place / "raw", [split], each)
    pack(place / "raw", place / "data" / "pets", quiet=True)
    return place / "data" / "pets"


def hashes(folder: Path) -> dict[str, str]:
    """sha256 of each file under ``folder``."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def numbered(n: int, *, flip: bool = True) -> ImageSource:
    """Images whose every pixel is their number."""
    images = np.broadcast_to(np.arange(n, dtype=np.uint8)[:, None, None, None], (n, 8, 8, 3)).copy()
    manifest = Manifest(tuple(Sample("", str(i), i % 10, i, 192, "") for i in range(n)))
    return ArraySource(DatasetSpec("numbered", 10, 8, "", flip=flip), "train", manifest, images=images)
