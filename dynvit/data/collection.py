"""What a source of images holds: pictures with labels, and the names of the classes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import NamedTuple

from dynvit.data.archives import LeftOut, Reader
from dynvit.data.class_order import Classes, order_classes
from dynvit.data.listing import cut, some
from dynvit.data.split_names import TEST, TRAIN, VALIDATION
from dynvit.errors import InputError


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
    """What a source holds; ``class_names`` by class index, ``left_out`` what is not packed, by kind."""

    pictures: tuple[Picture, ...]
    class_names: tuple[str, ...]
    left_out: LeftOut = field(default_factory=dict)


class Found(NamedTuple):
    """An image of a class as it is written. ``place`` says where the class is given: a folder, a row."""

    split: str
    written: str
    path: PurePosixPath
    read: Reader
    place: str


@dataclass(frozen=True)
class Layout:
    """The images that a layout has, and what it leaves out, by kind.

    ``keep_spelling`` keeps class numbers as they are written; ``order`` is that of the classes where a list fixes it.
    """

    found: Sequence[Found]
    left_out: LeftOut = field(default_factory=dict)
    keep_spelling: bool = False
    order: tuple[str, ...] = ()


def numbered(layout: Layout, allow_missing: bool) -> Collection:
    """Give every image its label.

    Raises: ``InputError`` for classes whose order is in doubt, and where splits have different classes.
    """
    order = order_classes({image.written: image.place for image in layout.found}, keep_spelling=layout.keep_spelling)
    if layout.order:
        order = Classes(layout.order, {name: label for label, name in enumerate(layout.order)})
    classes: dict[str, set[int]] = {}
    for image in layout.found:
        classes.setdefault(image.split, set()).add(order.labels[image.written])
    _check_splits(classes, order.names, allow_missing)
    pictures = tuple(
        Picture(
            image.split,
            str(image.path.with_suffix("")),
            order.labels[image.written],
            image.path.suffix.lower(),
            image.read,
        )
        for image in layout.found
    )
    return test_as_validation(Collection(pictures, order.names, layout.left_out))


def test_as_validation(collection: Collection) -> Collection:
    """The collection with its test images as validation, where it has no other."""
    if any(picture.split == VALIDATION for picture in collection.pictures):
        return collection
    renamed = tuple(replace(p, split=VALIDATION) if p.split == TEST else p for p in collection.pictures)
    return replace(collection, pictures=renamed)


def _check_splits(classes: Mapping[str, set[int]], names: Sequence[str], allow_missing: bool) -> None:
    """Splits that are packed together, or apart, must number their classes alike."""
    if len(classes) < 2:
        return
    whole = TRAIN if TRAIN in classes else max(sorted(classes), key=lambda split: len(classes[split]))
    for split, there in classes.items():
        more, fewer = (
            [names[label] for label in sorted(each)] for each in (there - classes[whole], classes[whole] - there)
        )
        both = f", and {whole} has {_classes(fewer)} that {split} lacks" if fewer else ""
        if more:
            raise InputError(
                f"{split} has {_classes(more)} that {whole} lacks{both}: are these the splits of one data set? Remove "
                "what is too much, or rename what is spelled in two ways"
            )
        if fewer and not allow_missing:
            raise InputError(
                f"{whole} has {_classes(fewer)} that {split} lacks, and packed apart the two would number classes "
                f"differently: where it is meant so, --allow-missing-classes takes those of {whole} for all"
            )


def _classes(names: Sequence[str]) -> str:
    return f"{'a class' if len(names) == 1 else f'{len(names):,} classes'} ({some(names)})"


def merged(*parts: Mapping[str, Sequence[str]]) -> LeftOut:
    """What several left out, by kind."""
    together: LeftOut = {}
    for part in parts:
        for kind, names in part.items():
            together.setdefault(kind, []).extend(names)
    return together


def kinds_of_files(names: Iterable[str]) -> LeftOut:
    """Files that are no images, by the end of their names."""
    found: LeftOut = {}
    for name in names:
        suffix = PurePosixPath(name).suffix.lower()
        found.setdefault(f"{cut(suffix)} files" if suffix else "files without a suffix", []).append(name)
    return found
