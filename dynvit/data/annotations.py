"""Lists that give images their classes: Tiny-ImageNet's, and those of ImageNet's validation split."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from dynvit.data.archives import Files
from dynvit.data.listing import cut, some
from dynvit.errors import InputError

_SYNSET = re.compile(r"n\d{8}")
_NUMBERED = re.compile(r"ILSVRC2012_val_(\d{8})\.\w+", re.IGNORECASE)
_GROUND_TRUTH = "ILSVRC2012_validation_ground_truth.txt"
_META = "meta.mat"
_VALIDATION = 50_000


@dataclass(frozen=True)
class Annotations:
    """The class of each image by its file's name, and the list that says so."""

    where: str
    classes: Mapping[str, str]


def named_classes(folder: str, images: Iterable[PurePosixPath], others: Files) -> Annotations | None:
    """The classes of the images in a split's folder, from a list that certainly tells them; None without one.

    Raises: ``InputError`` for a list that is broken, or several.
    """
    names = [path.name for path in images]
    readers = (_tiny_imagenet, _kaggle, _synset_labels, _ground_truth)
    found = [made for read in readers if (made := read(folder, names, others)) is not None]
    if len(found) > 1 and any(each.classes != found[0].classes for each in found):
        raise InputError(f"{some(each.where for each in found)} give images different classes: keep the right one")
    return found[0] if found else None


def _tiny_imagenet(folder: str, names: list[str], others: Files) -> Annotations | None:
    """``val/val_annotations.txt``: file, synset, box."""
    last = PurePosixPath(folder).name
    wanted = [f"{prefix}{last}_annotations.txt" for prefix in ((f"{folder}/", "") if folder else ("",))]
    if not folder:
        wanted = ["val_annotations.txt"]
    listed = next((name for name in wanted if name in others), None)
    if listed is None:
        return None
    classes: dict[str, str] = {}
    for number, line in enumerate(_lines(others, listed), 1):
        name, *rest = line.split("\t") if "\t" in line else line.split()
        if not rest or name in classes:
            raise InputError(f"{listed} line {number} must name a file once and its class, got {cut(line)!r}")
        classes[name] = rest[0]
    return Annotations(listed, classes)


def _kaggle(folder: str, names: list[str], others: Files) -> Annotations | None:
    """``LOC_val_solution.csv``: an image's id; synset and box, for each object. All are of one synset."""
    listed = _named(others, "LOC_val_solution.csv")
    if listed is None or not all(map(_NUMBERED.fullmatch, names)):
        return None
    by_id: dict[str, str] = {}
    for row in csv.DictReader(io.StringIO("\n".join(_lines(others, listed)))):
        said = (row.get("PredictionString") or "").split()
        if not said or not _SYNSET.fullmatch(said[0]):
            raise InputError(f"{listed} must have columns ImageId and PredictionString with a synset, got {row}")
        by_id[row.get("ImageId") or ""] = said[0]
    return Annotations(listed, {name: by_id[stem] for name in names if (stem := PurePosixPath(name).stem) in by_id})


def _synset_labels(folder: str, names: list[str], others: Files) -> Annotations | None:
    """``imagenet_2012_validation_synset_labels.txt``: the synsets of images 1 to 50,000, a line each."""
    listed = _named(others, "imagenet_2012_validation_synset_labels.txt")
    if listed is None:
        return None
    lines = _lines(others, listed)
    if not all(map(_SYNSET.fullmatch, lines)):
        raise InputError(f"{listed} must be a synset a line, as n01440764")
    return _by_number(listed, names, lines)


def _ground_truth(folder: str, names: list[str], others: Files) -> Annotations | None:
    """The development kit: a number a line, which is the place in ``meta.mat`` and not among sorted synsets."""
    listed, meta = _named(others, _GROUND_TRUTH), _named(others, _META)
    if listed is None:
        return None
    if meta is None:
        raise InputError(
            f"{listed} numbers classes in the order of the development kit's {_META}, which is not here, and is no "
            f"order of sorted synsets: put {_META} beside it"
        )
    synsets = _development_kit(others[meta](), meta)
    lines = _lines(others, listed)
    odd = next((line for line in lines if line not in synsets), None)
    if odd is not None:
        raise InputError(f"{listed} must hold numbers of {meta}, got {cut(odd)!r}")
    return _by_number(listed, names, [synsets[line] for line in lines])


def _development_kit(content: bytes, where: str) -> dict[str, str]:
    """Synsets by their number in ImageNet's ``meta.mat``."""
    from scipy.io import loadmat

    try:
        rows: Any = loadmat(io.BytesIO(content), squeeze_me=True)["synsets"]
        return {str(int(row["ILSVRC2012_ID"])): str(row["WNID"]) for row in rows}
    except Exception as error:  # whatever scipy meets in a file of another kind
        raise InputError(f"{where} is not the {_META} of ImageNet's development kit ({cut(str(error))})") from error


def _by_number(where: str, names: list[str], classes: list[str]) -> Annotations | None:
    """Classes of ImageNet's validation images by the number in their names."""
    matches = [_NUMBERED.fullmatch(name) for name in names]
    numbers = [int(match[1]) for match in matches if match]
    if len(numbers) < len(names):
        return None
    if len(classes) != _VALIDATION and len(classes) != len(names):
        raise InputError(f"{where} has {len(classes):,} lines, and there are {len(names):,} images: fetch it again")
    if numbers and (max(numbers) > len(classes) or min(numbers) < 1):
        raise InputError(f"{where} has {len(classes):,} lines, and no line {max(numbers):,}: fetch it again")
    return Annotations(where, {name: classes[number - 1] for name, number in zip(names, numbers, strict=True)})


def _named(others: Files, name: str) -> str | None:
    found = [path for path in others if PurePosixPath(path).name == name]
    if len(found) > 1:
        raise InputError(f"{some(found)} are two lists of one kind: keep the right one")
    return found[0] if found else None


def _lines(others: Files, name: str) -> list[str]:
    try:
        text = others[name]().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{name} must be UTF-8 ({error})") from error
    return [line.strip() for line in text.splitlines() if line.strip()]
