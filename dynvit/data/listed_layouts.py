"""Downloads whose lists say which image is of which split: Food-101 and Oxford-IIIT Pet."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import PurePosixPath

from dynvit.data.archives import Files, Reader
from dynvit.data.class_order import whole_number
from dynvit.data.collection import Found, Layout
from dynvit.data.listing import cut
from dynvit.data.split_names import TEST, TRAIN
from dynvit.errors import InputError

_UNLISTED = "images that no list names"

Images = Mapping[PurePosixPath, Reader]


def read_listed(images: Images, others: Files) -> Layout | None:
    """The images of Food-101 or Oxford-IIIT Pet as they are downloaded; None where it is neither.

    Raises: ``InputError`` where a list names an image that is not there, or a line is none of its kind.
    """
    return _read(images, others, "meta", {"train.txt": TRAIN, "test.txt": TEST}, _food) or _read(
        images, others, "annotations", {"trainval.txt": TRAIN, "test.txt": TEST}, _pet
    )


def _read(
    images: Images,
    others: Files,
    folder: str,
    lists: Mapping[str, str],
    line_of: Callable[[str], tuple[str, str, int | None] | None],
) -> Layout | None:
    """The images that lists in a folder beside ``images/`` name.

    Args:
        images: of the source, by path.
        others: its other files.
        folder: where the lists are.
        lists: splits by the lists' names.
        line_of: path under ``images/`` without suffix, class, and the class's number from 1; None for another line.
    """
    place = next(
        (PurePosixPath(name).parent for name in others if PurePosixPath(name).parts[-2:] == (folder, "test.txt")), None
    )
    if place is None or not all(str(place / name) in others for name in lists):
        return None
    root = place.parent / "images"
    stems = {str(path.with_suffix("")): path for path in images if path.is_relative_to(root)}
    if not stems:
        return None
    found: list[Found] = []
    numbers: dict[str, int | None] = {}
    seen: dict[str, str] = {}
    for name, split in lists.items():
        listed = str(place / name)
        for row, line in enumerate(others[listed]().decode("utf-8", "replace").splitlines(), 1):
            if not line.strip() or line.startswith("#"):
                continue
            where, parsed = f"{listed} line {row}", line_of(line.strip())
            if parsed is None:
                return None  # a list of another data set
            image, written, number = parsed
            path = stems.get(str(root / image))
            if path is None:
                raise InputError(
                    f"{where} names {cut(image)!r}, which is not among the files of {root}: fetch it again"
                )
            if image in seen:
                raise InputError(f"{where}: {image} is in {seen[image]} already: an image is of one split")
            seen[image] = where
            if numbers.setdefault(written, number) != number:
                raise InputError(f"{where}: class {written} has number {number} and {numbers[written]}: fetch it again")
            found.append(Found(split, written, PurePosixPath(written, path.name), images[path], where))
    named = {str(root / image) for image in seen}
    unlisted = [str(path) for path in images if str(path.with_suffix("")) not in named]
    return Layout(found, {_UNLISTED: unlisted} if unlisted else {}, order=_order(numbers, str(place)))


def _order(numbers: Mapping[str, int | None], where: str) -> tuple[str, ...]:
    """The classes in the order of the numbers that lists give them; empty where they give none."""
    given = {name: number for name, number in numbers.items() if number is not None}
    if len(set(given.values())) < len(given):
        raise InputError(f"{where} gives two classes one number: fetch it again")
    return tuple(sorted(given, key=given.__getitem__))


def _food(line: str) -> tuple[str, str, int | None] | None:
    """``apple_pie/1005649``."""
    path = PurePosixPath(line)
    return (line, path.parts[0], None) if len(path.parts) == 2 and ".." not in path.parts else None


def _pet(line: str) -> tuple[str, str, int | None] | None:
    """``Abyssinian_100 1 1 1``: image, class, species, breed."""
    cells = line.split()
    number = whole_number(cells[1]) if len(cells) == 4 else None
    breed = cells[0].rpartition("_")[0]
    return (cells[0], breed, number) if number is not None and breed and "/" not in breed else None
