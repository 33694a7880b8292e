"""Recognises the layout of a source of images: CIFAR's pickles, tables, lists of known downloads, class folders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from dynvit.data.archives import Files, LeftOut, Reader, Tree
from dynvit.data.cifar_pickles import find_cifar, read_cifar
from dynvit.data.class_folders import read_class_folders
from dynvit.data.collection import Collection, kinds_of_files, merged, numbered
from dynvit.data.image_kinds import begins_as_image, called_an_image
from dynvit.data.label_tables import read_tables, tables_in
from dynvit.data.listed_layouts import read_listed
from dynvit.data.listing import some
from dynvit.data.split_names import VALIDATION, split_within
from dynvit.errors import InputError

_LAYOUTS = "the layout must be SPLIT/CLASS/FILE, CLASS/FILE, CIFAR's python pickles, or images/ with labels.csv"
_ARCHIVES = frozenset({".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".zst", ".7z", ".rar"})
_HEAD = 32  # bytes


def read_collection(
    tree: Tree, source: Path, flat_split: str | None = None, *, allow_missing_classes: bool = False
) -> Collection:
    """Recognise the layout of a source and list its images.

    A source with ``test`` and no validation calls its test images ``validation``. Class folders without folders of
    splits above are all of ``flat_split``; where that is None, of the split that the source is called after, else
    validation.

    Args:
        tree: its files.
        source: where they are, for messages.
        flat_split: the split of class folders without splits.
        allow_missing_classes: whether a split may lack classes that train has.

    Raises: ``InputError`` where no layout fits, or more than one reading is possible.
    """
    default = split_within(source.absolute().name.split(".")[0])
    if folders := find_cifar(tree.files):
        _check_flat(flat_split, "CIFAR's pickles")
        collection = read_cifar(tree.files, folders[0])
        return _with(collection, tree.left_out)
    images, others = _sorted_out(tree.files)
    if shard := next((name for name in others if name.endswith(".cls")), None):
        raise InputError(
            f"{source} holds {shard}, a member of a WebDataset shard: shards are packed already; name their folder "
            "as --dataset"
        )
    tables = tables_in(others)
    if tables:
        layout = read_tables(tree.files, tables, flat_split, default or VALIDATION)
    elif not images:
        raise _no_image(tree, source)
    else:
        listed = read_listed(images, others)
        if listed is not None:
            _check_flat(flat_split, "lists of splits")
        layout = listed or read_class_folders(images, others, flat_split, default)
    if not layout.found:
        raise _no_image(tree, source, layout.left_out)
    collection = numbered(layout, allow_missing_classes)
    return _with(collection, tree.left_out, kinds_of_files(name for name in others if name not in tables))


def _with(collection: Collection, *left_out: LeftOut) -> Collection:
    together = merged(collection.left_out, *left_out)
    return Collection(collection.pictures, collection.class_names, together)


def _sorted_out(files: Files) -> tuple[dict[PurePosixPath, Reader], Files]:
    """The images, by their names or else their first bytes; and all other files."""
    images: dict[PurePosixPath, Reader] = {}
    others: Files = {}
    for name, read in files.items():
        if called_an_image(name) or begins_as_image(read(_HEAD)):
            images[PurePosixPath(name)] = read
        else:
            others[name] = read
    return images, others


def _check_flat(flat_split: str | None, what: str) -> None:
    if flat_split is not None:
        raise InputError(f"{what} say which split an image is of: --split is for class folders without splits")


def _no_image(tree: Tree, source: Path, unlabelled: Mapping[str, Sequence[str]] | None = None) -> InputError:
    archives = [name for name in tree.files if PurePosixPath(name).suffix.lower() in _ARCHIVES]
    if archives:
        return InputError(f"{source} holds no image, but archives ({some(archives)}): give one of them, or unpack them")
    beside = merged(tree.left_out, unlabelled or kinds_of_files(tree.files))
    seen = ", ".join(f"{len(names):,} {kind} ({some(names, 2)})" for kind, names in sorted(beside.items())[:4])
    return InputError(f"{source} holds no image with a class, only {seen or 'nothing'}: {_LAYOUTS}")
