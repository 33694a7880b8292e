"""What people are told: how a packed folder is opened, and why a name, a path or a folder is no data set."""

from __future__ import annotations

import difflib
import os
import shlex
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from dynvit.data.datasets import datasets
from dynvit.data.image_kinds import called_an_image
from dynvit.data.label_tables import TABLE
from dynvit.data.locate import is_remote, packed_folders
from dynvit.data.manifest import CLASS_NAMES, INFO
from dynvit.data.split_names import shard_named
from dynvit.errors import InputError, unknown

_LOOKED_FOR = f"{INFO} or shards NAME-SPLIT-00000.tar, and {CLASS_NAMES}"
_TO_PACK = "images as .jpg, .png and .webp, labels.csv, CIFAR's pickles or ImageNet's tars"
_ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz")
_FOLDERS_WALKED = 1000  # images lie near the top, or it is no folder of images


def flags_for(folder: Path) -> str:
    """The flags that open a packed folder."""
    name = _named(folder).name
    if name in datasets.names():
        return f"--dataset {name} --data-dir {shlex.quote(str(folder))}"
    # A name alone would be looked for in other places too.
    return f"--dataset {shlex.quote(str(folder) if len(folder.parts) > 1 else os.path.join(os.curdir, folder))}"


def unknown_name(name: str) -> InputError:
    """For a name that is neither registered nor a folder."""
    root = os.environ.get("DYNVIT_DATA")
    here = [] if not root or is_remote(root) else [folder.name for folder in packed_folders(Path(root))]
    where = f"here or in {root}" if root else "here, and DYNVIT_DATA is not set"
    error = unknown(datasets.kind, name, {*datasets.names(), *here})
    return InputError(f"{error}; and there is no folder {name!r} {where}")


def missing_path(path: str) -> InputError:
    """For a path where nothing is."""
    names = ", ".join(datasets.names())
    return InputError(
        f"there is no {path!r}: give the path of a packed folder, or the name of a registered data set"
        f"{did_you_mean(path)}: {names}"
    )


def did_you_mean(name: str) -> str:
    """The registered name that is nearest, in brackets; nothing where none is near."""
    near = difflib.get_close_matches(Path(os.path.abspath(name)).name, datasets.names(), n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def no_classes(name: str, folder: Path) -> InputError:
    """For shards of which no file says how many classes they have."""
    return InputError(
        f"{folder} holds shards, and no {CLASS_NAMES} or manifest that tells their classes: add {CLASS_NAMES}, a name "
        f"a line in the order of the labels, or name the registered data set that they are{did_you_mean(name)}"
    )


def not_packed(places: Sequence[Path]) -> InputError:
    """For what is there, the first of the places that is, and no packed data set."""
    place = next((place for place in places if place.exists()), None)
    if place is None:
        return InputError(f"there is no folder {' or '.join(map(str, places))}: a data set is a folder of shards")
    if place.is_file():
        return _is_a_file(place)
    said = f"{place} is no packed data set: it must hold {_LOOKED_FOR}"
    if packed := [folder.name for folder in packed_folders(place)]:
        return InputError(
            f"{said}; it lies above {', '.join(packed[:20])}: give one of them, {flags_for(place / packed[0])}"
        )
    if _holds_images(place):
        return InputError(
            f"{said}; it holds images that are not packed: {_pack(place, f'{_named(place).name}-packed')}"
        )
    return InputError(f"{said}; it holds nothing that could be packed ({_TO_PACK})")


def _is_a_file(place: Path) -> InputError:
    if shard_named(place.name):
        return InputError(f"{place} is one shard of a data set: give its folder, {flags_for(place.parent)}")
    if place.name.endswith(_ARCHIVES):
        return InputError(f"{place} is a file, no packed folder: {_pack(place, place.name.split('.')[0])}")
    return InputError(f"{place} is a file: a data set is a registered name or a folder with {_LOOKED_FOR}")


def _pack(source: Path, name: str) -> str:
    destination = (source.parent if source.name else _named(source).parent) / name
    paths = shlex.join([str(source), str(destination)])
    return f"pack it first: dynvit data pack {paths}, then give {flags_for(destination)}"


def _named(folder: Path) -> Path:
    """The folder with a name: ``.`` has none."""
    return Path(os.path.abspath(folder))


def _holds_images(folder: Path) -> bool:
    walked = islice(os.walk(folder, followlinks=True), _FOLDERS_WALKED)
    return any(_to_pack(file) for _, _, files in walked for file in files)


def _to_pack(file: str) -> bool:
    return called_an_image(file) or file.lower() == TABLE or file == "data_batch_1"
