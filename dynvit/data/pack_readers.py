"""Layouts of image collections: class folders, CIFAR's pickles, ``images/`` with ``labels.csv``."""

from __future__ import annotations

import functools
import io
import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from dynvit.data.archives import Files
from dynvit.errors import InputError

EXTENSIONS = {".jpg": "jpg", ".jpeg": "jpg", ".png": "png", ".webp": "webp"}
_UNSUPPORTED = {".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"}
_SPLITS = {"train": "train", "val": "validation", "valid": "validation", "validation": "validation", "test": "test"}


@dataclass(frozen=True)
class Picture:
    """One image to pack. ``name`` is its path without extension: unique in a split, it becomes the key."""

    split: str
    name: str
    label: int
    extension: str
    read: Callable[[], bytes]


@dataclass(frozen=True)
class Collection:
    """What a source holds; ``class_names`` by class index."""

    pictures: tuple[Picture, ...]
    class_names: tuple[str, ...]


def read_collection(files: Files, where: str, flat_split: str = "validation") -> Collection:
    """Recognise the layout of ``files`` and list its images.

    A source with ``test`` and no validation calls its test images ``validation``. Class folders without split
    folders above are all of ``flat_split``.

    Raises: ``InputError`` where no layout fits.
    """
    names = {PurePosixPath(name).name for name in files}
    if {"data_batch_1", "test_batch", "batches.meta"} <= names or {"train", "test", "meta"} <= names:
        collection = _cifar({PurePosixPath(name).name: read for name, read in files.items()})
    elif "labels.csv" in names:
        collection = _labelled(files, flat_split)
    else:
        collection = _class_folders(files, flat_split)
    if not collection.pictures:
        raise InputError(
            f"{where} holds no image ({', '.join(sorted(EXTENSIONS))}): the layout must be SPLIT/CLASS/FILE, "
            "CLASS/FILE, CIFAR's python pickles, or images/ with labels.csv"
        )
    return _test_as_validation(collection)


def _test_as_validation(collection: Collection) -> Collection:
    if any(picture.split == "validation" for picture in collection.pictures):
        return collection
    renamed = tuple(
        Picture("validation", p.name, p.label, p.extension, p.read) if p.split == "test" else p
        for p in collection.pictures
    )
    return Collection(renamed, collection.class_names)


def _extension(path: PurePosixPath) -> str | None:
    suffix = path.suffix.lower()
    if suffix in _UNSUPPORTED:
        raise InputError(f"{path}: {suffix} images cannot be packed: convert them to png first")
    return EXTENSIONS.get(suffix)


def _class_folders(files: Files, flat_split: str) -> Collection:
    paths = {path: read for name, read in files.items() if _extension(path := PurePosixPath(name))}
    inner = _without_wrapper(list(paths))
    found = []
    for path, read in zip(inner, paths.values(), strict=True):
        split = _SPLITS.get(path.parts[0])
        rest = path.parts[1:] if split else path.parts
        if len(rest) < 2:
            raise InputError(f"image {path} is in no class folder: the layout must be SPLIT/CLASS/FILE or CLASS/FILE")
        found.append((split or flat_split, rest[0], PurePosixPath(*rest), read))
    classes = tuple(sorted({name for _, name, _, _ in found}))
    index = {name: i for i, name in enumerate(classes)}
    return Collection(
        tuple(
            Picture(split, str(path.with_suffix("")), index[name], _extension(path) or "", read)
            for split, name, path, read in found
        ),
        classes,
    )


def _without_wrapper(paths: list[PurePosixPath]) -> list[PurePosixPath]:
    """Paths without the folder that an archive wraps around everything."""
    while (
        len({path.parts[0] for path in paths}) == 1
        and paths[0].parts[0] not in _SPLITS
        and all(len(path.parts) > 2 for path in paths)
    ):
        paths = [PurePosixPath(*path.parts[1:]) for path in paths]
    return paths


def _labelled(files: Files, flat_split: str) -> Collection:
    found: list[tuple[str, PurePosixPath, str, Callable[[], bytes]]] = []
    for table in (PurePosixPath(name) for name in files if PurePosixPath(name).name == "labels.csv"):
        columns, rows = _table(files[str(table)](), table)
        file_column = _column(columns, ("file", "filename", "image", "path"), table)
        label_column = _column(columns, ("label", "class"), table)
        for row in rows:
            name, label = PurePosixPath(row[file_column]), row[label_column]
            places = [table.parent / "images" / name, table.parent / name]
            read = next((files[str(place)] for place in places if str(place) in files), None)
            if read is None or ".." in name.parts:
                raise InputError(f"{table} names {str(name)!r}, which is not among the files of images/")
            if not label:
                raise InputError(f"{table} gives {name} no {label_column}")
            found.append((_SPLITS.get(row.get("split", table.parent.name), flat_split), name, label, read))
    labels = {label for _, _, label, _ in found}
    if all(label.isdecimal() for label in labels):
        classes = tuple(str(i) for i in range(max(map(int, labels), default=-1) + 1))
        index = {label: int(label) for label in labels}
    else:
        classes = tuple(sorted(labels))
        index = {label: i for i, label in enumerate(classes)}
    pictures = []
    for split, name, label, read in found:
        if not (extension := _extension(name)):
            raise InputError(f"labels.csv names {name}, which is no {', '.join(sorted(EXTENSIONS))}")
        pictures.append(Picture(split, str(name.with_suffix("")), index[label], extension, read))
    return Collection(tuple(pictures), classes)


def _table(content: bytes, table: PurePosixPath) -> tuple[list[str], list[dict[str, str]]]:
    """The columns of a CSV file, in lower case, and its rows by column."""
    import pandas as pd

    try:
        # The names are read as a row, so that a row that is longer is an error and not an index.
        cells = pd.read_csv(io.BytesIO(content), header=None, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except ValueError as error:
        raise InputError(
            f"{table} is not CSV ({error}): it must be UTF-8 with a first line that names columns"
        ) from error
    names, *rows = cells.map(str.strip).to_numpy().tolist()
    columns = [name.lower() for name in names]
    return columns, [dict(zip(columns, row, strict=True)) for row in rows]


def _column(columns: Sequence[str], names: Sequence[str], table: PurePosixPath) -> str:
    for name in names:
        if name in columns:
            return name
    raise InputError(f"{table} has no column {' or '.join(names)}, only {', '.join(columns)}")


class _ArraysOnly(pickle.Unpickler):
    """Loads arrays, lists and strings, and calls nothing else that a pickle may name."""

    _ALLOWED = frozenset(
        {
            ("numpy.core.multiarray", "_reconstruct"),
            ("numpy._core.multiarray", "_reconstruct"),
            ("numpy", "ndarray"),
            ("numpy", "dtype"),
            ("_codecs", "encode"),
        }
    )

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._ALLOWED:
            raise InputError(
                f"a pickle asks to run {module}.{name}: CIFAR's files hold arrays only; fetch them from a trusted place"
            )
        return super().find_class(module, name)


def _unpickle(files: Files, name: str) -> dict[str, Any]:
    try:
        content = _ArraysOnly(io.BytesIO(files[name]()), encoding="bytes").load()
        return {key.decode() if isinstance(key, bytes) else key: value for key, value in content.items()}
    except KeyError as error:
        raise InputError(f"CIFAR's file {name} is missing: fetch the archive again") from error
    except (pickle.UnpicklingError, EOFError, AttributeError, ValueError, TypeError, IndexError) as error:
        raise InputError(f"{name} is not a pickle of CIFAR's python version ({error}): fetch it again") from error


def _cifar(files: Files) -> Collection:
    if "data_batch_1" in files:
        batches = {"train": [f"data_batch_{i}" for i in range(1, 6)], "test": ["test_batch"]}
        meta, names_key, label_key = "batches.meta", "label_names", "labels"
    else:
        batches = {"train": ["train"], "test": ["test"]}
        meta, names_key, label_key = "meta", "fine_label_names", "fine_labels"
    names = tuple(n.decode() if isinstance(n, bytes) else n for n in _unpickle(files, meta).get(names_key, ()))
    pictures: list[Picture] = []
    for split, members in batches.items():
        position = 0
        for member in members:
            batch = _unpickle(files, member)
            data, labels = batch.get("data"), list(batch.get(label_key, ()))
            if not isinstance(data, np.ndarray) or data.shape != (len(labels), 3072) or data.dtype != np.uint8:
                raise InputError(f"{member} holds no uint8 array (N, 3072) with as many {label_key}: fetch it again")
            for row, label in zip(data, labels, strict=True):
                if not 0 <= label < len(names):
                    raise InputError(f"labels of {member} must be 0 to {len(names) - 1}, got {label}")
                name = f"{names[label]}/{position:05d}"
                pictures.append(Picture(split, name, int(label), "png", functools.partial(_png, row)))
                position += 1
    return Collection(tuple(pictures), names)


def _png(row: Any) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(row.reshape(3, 32, 32).transpose(1, 2, 0)).save(buffer, "PNG")
    return buffer.getvalue()
