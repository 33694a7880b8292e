"""CIFAR's python version: pickles of arrays, read without running what a pickle may ask for."""

from __future__ import annotations

import functools
import io
import pickle
import re
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from dynvit.data.archives import Files, LeftOut
from dynvit.data.collection import Collection, Picture, kinds_of_files, test_as_validation
from dynvit.data.listing import cut, some
from dynvit.errors import InputError

_BATCH = re.compile(r"data_batch_\d+|test_batch")
_EDGE = 32
_BROKEN = (pickle.UnpicklingError, EOFError, AttributeError, ValueError, TypeError, IndexError, OverflowError)


def find_cifar(files: Files) -> list[str]:
    """The folders that hold CIFAR's pickles, by their files' names.

    Raises: ``InputError`` where there are several.
    """
    there: dict[str, set[str]] = {}
    for path in map(PurePosixPath, files):
        there.setdefault(str(path.parent), set()).add(path.name)
    folders = [
        folder
        for folder, names in there.items()
        if {"train", "test", "meta"} <= names or sum(bool(_BATCH.fullmatch(name)) for name in names) > 1
    ]
    if len(folders) > 1:
        raise InputError(f"CIFAR's pickles are in {some(folders)}: pack one at a time")
    return folders


def read_cifar(files: Files, folder: str) -> Collection:
    """CIFAR-10 or CIFAR-100, in the official order; arrays become PNG.

    Raises: ``InputError`` for pickles that are missing, broken, or of anything but images and whole numbers.
    """
    here = {name: PurePosixPath(name) for name in files}
    mine: Files = {path.name: files[name] for name, path in here.items() if str(path.parent) == folder}
    if any(_BATCH.fullmatch(name) for name in mine):
        batches = {"train": [f"data_batch_{i}" for i in range(1, 6)], "test": ["test_batch"]}
        meta, names_key, label_key = "batches.meta", "label_names", "labels"
    else:
        batches = {"train": ["train"], "test": ["test"]}
        meta, names_key, label_key = "meta", "fine_label_names", "fine_labels"
    names = _class_names(_unpickle(mine, meta).get(names_key), f"{meta}, {names_key}")
    pictures: list[Picture] = []
    for split, members in batches.items():
        position = 0
        for member in members:
            batch = _unpickle(mine, member)
            labels = _labels(batch.get(label_key), f"{member}, {label_key}", len(names))
            data = batch.get("data")
            if not isinstance(data, np.ndarray) or data.shape != (len(labels), 3072) or data.dtype != np.uint8:
                raise InputError(f"{member} holds no uint8 array (N, 3072) with as many {label_key}: fetch it again")
            for row, label in zip(data, labels, strict=True):
                name = f"{names[label]}/{position:05d}"
                pictures.append(Picture(split, name, label, ".png", functools.partial(_png, row)))
                position += 1
    used = {meta, *(member for members in batches.values() for member in members)}
    left_out: LeftOut = kinds_of_files(
        name for name, path in here.items() if str(path.parent) != folder or path.name not in used
    )
    return test_as_validation(Collection(tuple(pictures), names, left_out))


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
                f"a pickle asks to run {cut(module)}.{cut(name)}: CIFAR's files hold arrays only; fetch them from a "
                "trusted place"
            )
        return super().find_class(module, name)


def _unpickle(files: Files, name: str) -> dict[str, Any]:
    if name not in files:
        raise InputError(f"CIFAR's file {name} is missing: fetch the archive again")
    content = files[name]()
    try:
        loaded = _ArraysOnly(io.BytesIO(content), encoding="bytes").load()
        return {_text(key): value for key, value in loaded.items()}
    except (*_BROKEN, KeyError, MemoryError, RecursionError) as error:
        said = cut(str(error)) or type(error).__name__
        raise InputError(f"{name} is not a pickle of CIFAR's python version ({said}): fetch it again") from error


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, str):
        return value
    raise TypeError(f"a name is {type(value).__name__}, no text")


def _class_names(given: object, where: str) -> tuple[str, ...]:
    try:
        if not isinstance(given, list | tuple):
            raise TypeError(f"it is {type(given).__name__}")
        names = tuple(_text(name) for name in given)
    except (TypeError, UnicodeDecodeError) as error:
        raise InputError(f"{where} must be a list of class names ({error}): fetch it again") from error
    for name in names:
        if not name.strip() or not name.isprintable() or "/" in name or name.startswith("."):
            raise InputError(f"{where}: {cut(ascii(name))} is no class name: fetch it again")
    if len(set(names)) < len(names):
        raise InputError(f"{where} names a class twice: fetch it again")
    return names


def _labels(given: object, where: str, classes: int) -> list[int]:
    """The labels. Raises: ``InputError`` with the first row that holds no whole number of a class."""
    values = given.tolist() if isinstance(given, np.ndarray) and given.ndim == 1 else given
    if not isinstance(values, list | tuple):
        raise InputError(f"{where} must be a list of labels, got {type(given).__name__}: fetch it again")
    for row, value in enumerate(values):
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not whole or not 0 <= value < classes:
            got = cut(repr(value)) if isinstance(value, str | float) else type(value).__name__
            if whole:
                got = str(value) if abs(value) < 10**9 else "a huge number"
            raise InputError(f"{where}, row {row}: a label must be a whole number, 0 to {classes - 1}, got {got}")
    return list(values)


def _png(row: Any) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(row.reshape(3, _EDGE, _EDGE).transpose(1, 2, 0)).save(buffer, "PNG")
    return buffer.getvalue()
