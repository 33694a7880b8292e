"""Class folders: SPLIT/CLASS/FILE or CLASS/FILE, and what makes that reading doubtful."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from dynvit.data.annotations import Annotations, named_classes
from dynvit.data.archives import Files, LeftOut, Reader
from dynvit.data.collection import Found, Layout
from dynvit.data.listing import cut, some
from dynvit.data.split_names import (
    TEST,
    VALIDATION,
    numbered_split,
    speaks_of_splits,
    spellings_said,
    split_named,
    split_within,
)
from dynvit.errors import InputError

UNLABELLED = "test images without a class"
_GENERIC = frozenset(
    (
        "images",
        "image",
        "imgs",
        "img",
        "jpegimages",
        "jpegs",
        "jpeg",
        "jpg",
        "pngs",
        "png",
        "data",
        "photos",
        "pictures",
    )
)
_LISTS = frozenset({".txt", ".csv", ".tsv", ".mat", ".json", ".lst", ".pkl"})

Images = Mapping[PurePosixPath, Reader]


@dataclass(frozen=True)
class _Split:
    """The images of one split, by their paths within its folder, which ``folder`` is as it is written.

    ``lists`` are files beside that may say which of the images are of another split.
    """

    name: str
    folder: str
    images: Images
    lists: tuple[str, ...] = ()

    def place(self, *parts: str) -> str:
        return "/".join(part for part in (self.folder, *parts) if part)


def read_class_folders(images: Images, others: Files, flat_split: str | None, default: str | None) -> Layout:
    """The images in class folders, with or without folders of splits above.

    Args:
        images: of the source, by path.
        others: its other files: lists of labels are among them.
        flat_split: the split of class folders without a split above, where a person gave it.
        default: that split where nobody did; None: what a folder around them says, else validation.

    Raises: ``InputError`` naming what was seen where images lie beside splits or classes, or it is in doubt which
    folders are splits and which are classes.
    """
    splits = _split_folders(images, flat_split)
    if not splits:
        splits = [_without_splits(images, others, flat_split, default)]
    found: list[Found] = []
    left_out: LeftOut = {}
    for split in splits:
        labelled = _labelled(split, others)
        if labelled is None:
            left_out.setdefault(UNLABELLED, []).extend(split.place(str(path)) for path in split.images)
        else:
            found += labelled
    return Layout(found, left_out, keep_spelling=True)


# -- splits --------------------------------------------------------------------------------------------------


def _split_folders(images: Images, given: str | None) -> list[_Split]:
    """The splits, where there are folders of that name; none otherwise."""
    depths = [(depth, path.parts[:depth]) for path in images for depth in _split_depths(path)]
    if not depths:
        return []
    depth, above = min(depths)
    by_folder: dict[str, dict[PurePosixPath, Reader]] = {}
    beside: list[str] = []
    for path, read in images.items():
        if path.parts[:depth] == above and len(path.parts) > depth + 1 and split_named(path.parts[depth]):
            by_folder.setdefault(path.parts[depth], {})[PurePosixPath(*path.parts[depth + 1 :])] = read
        else:
            is_file = path.parts[:depth] == above and len(path.parts) == depth + 1
            beside.append(
                str(path) if is_file else "/".join(path.parts[: max(1, min(depth + 1, len(path.parts) - 1))]) + "/"
            )
    where = f"{'/'.join(above)}/" if above else "the source"
    names = sorted(by_folder)
    if beside:
        raise InputError(
            f"{where} holds {some(names)}, which {'is a split' if len(names) == 1 else 'are splits'}, and images lie "
            f"beside in {some(dict.fromkeys(beside))}: move them into a split or out of the source; if the names are "
            "classes, put all class folders into a folder that is called as their split is"
        )
    if given is not None:
        raise InputError(f"{where} has folders of splits ({some(names)}): --split is for class folders without them")
    meant: dict[str, str] = {}
    for name in names:
        split = split_named(name) or name
        if split in meant:
            raise InputError(f"{where} holds {meant[split]} and {name}, which are both {split}: join or rename them")
        meant[split] = name
    prefix = "/".join(above)
    return [
        _doubled(_Split(split, f"{prefix}/{name}" if prefix else name, by_folder[name]))
        for split, name in meant.items()
    ]


def _split_depths(path: PurePosixPath) -> list[int]:
    """Where the first folder named as a split stands in a path."""
    return [depth for depth, part in enumerate(path.parts[:-1]) if split_named(part)][:1]


def _doubled(split: _Split) -> _Split:
    """The split without a folder in it that names it again, as in ``training_set/training_set/cats``."""
    inner = {path.parts[0] for path in split.images if len(path.parts) > 1}
    flat = any(len(path.parts) == 1 for path in split.images)
    if flat or not inner or not all(split_named(name) for name in inner):
        return split
    name = next(iter(inner))
    if len(inner) == 1 and split_named(name) == split.name and all(len(path.parts) > 2 for path in split.images):
        images = {PurePosixPath(*path.parts[1:]): read for path, read in split.images.items()}
        return _Split(split.name, split.place(name), images)
    raise InputError(f"{split.folder} holds {some(sorted(inner))}, which are splits, no classes: move them up")


def _without_splits(images: Images, others: Files, given: str | None, default: str | None) -> _Split:
    above: tuple[str, ...] = ()
    while len({path.parts[0] for path in images}) == 1 and all(len(path.parts) > 2 for path in images):
        above += next(iter(images)).parts[:1]
        images = {PurePosixPath(*path.parts[1:]): read for path, read in images.items()}
    said = default or next((split for name in reversed(above) if (split := split_within(name))), VALIDATION)
    lists = tuple(name for name in others if given is None and _is_list(PurePosixPath(name)))
    return _Split(given or said, "/".join(above), images, lists)


def _is_list(path: PurePosixPath) -> bool:
    return path.suffix.lower() in _LISTS and speaks_of_splits(path.stem)


# -- classes -------------------------------------------------------------------------------------------------


def _labelled(split: _Split, others: Files) -> list[Found] | None:
    """The images with their classes; None for test images that have none."""
    flat = [path for path in split.images if len(path.parts) == 1]
    folders: dict[str, set[str]] = {}
    for path in split.images:
        if len(path.parts) > 1:
            folders.setdefault(path.parts[0], set()).update(path.parts[1:-1][:1])
    generic = not flat and len(folders) == 1 and next(iter(folders)).casefold() in _GENERIC
    if generic or not folders:
        annotations = named_classes(split.folder, split.images, others)
        if annotations is not None:
            return _annotated(split, annotations)
        if split.name == TEST:
            return None
        raise _unlabelled(split)
    if split.lists:
        raise InputError(
            f"class folders without splits, and {some(split.lists)} beside, which may say what is train and what is "
            "test: sort the images into folders of splits, write labels.csv with a column split, or give --split where "
            "all are one split"
        )
    if flat:
        raise InputError(
            f"image {split.place(str(flat[0]))} lies beside the class folders {some(sorted(folders))}, in no class "
            "folder: move it into one, or away"
        )
    _check_depth(split, folders)
    places = {name: f"folder {split.place(name)}" for name in folders}  # a text a class, not one an image
    return [Found(split.name, path.parts[0], path, read, places[path.parts[0]]) for path, read in split.images.items()]


def _check_depth(split: _Split, folders: Mapping[str, set[str]]) -> None:
    """Folders that all hold the same folders are groups of classes (domains, studies), and those may be splits whose
    names nobody knows."""
    direct = {path.parts[0] for path in split.images if len(path.parts) == 2}
    like_splits = sorted(name for name in folders if speaks_of_splits(name) and name not in direct)
    if all(map(numbered_split, folders)):
        like_splits = sorted(folders)
    if like_splits:
        raise InputError(
            f"folders {some(like_splits)} of {split.folder or 'the source'} are called like splits, and no split has "
            f"such a name: call them {spellings_said()}, or have the images directly in their class folders"
        )
    shared = set.intersection(*folders.values()) if len(folders) > 1 else set()
    if len(shared) > 1:
        raise InputError(
            f"folders {some(sorted(folders))} of {split.folder or 'the source'} all hold {some(sorted(shared))}: which "
            "are the classes? Pack one of the former by itself, or move images up into them"
        )


def _annotated(split: _Split, annotations: Annotations) -> list[Found]:
    found = []
    for path, read in split.images.items():
        if path.name not in annotations.classes:
            raise InputError(f"{annotations.where} gives {split.place(str(path))} no class: fetch the set again")
        written = annotations.classes[path.name]
        found.append(Found(split.name, written, PurePosixPath(written, path.name), read, annotations.where))
    return found


def _unlabelled(split: _Split) -> InputError:
    names: Sequence[str] = sorted(path.name for path in split.images)
    where = cut(split.place(str(next(iter(split.images)))))
    said = f"image {where} is in no class folder"
    if names[0].startswith("ILSVRC2012_val_"):
        return InputError(
            f"{said}: give ImageNet's list of classes beside the images, as LOC_val_solution.csv or "
            "imagenet_2012_validation_synset_labels.txt or ILSVRC2012_validation_ground_truth.txt with meta.mat; "
            "or sort them into synset folders"
        )
    return InputError(
        f"{said}: the layout must be SPLIT/CLASS/FILE or CLASS/FILE, or write labels.csv with columns file and label"
    )
