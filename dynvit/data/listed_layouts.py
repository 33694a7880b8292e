"""Downloads whose lists say which image is of which split: Food-101 and Oxford-IIIT Pet."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import NamedTuple

from dynvit.data.archives import Files, Reader
from dynvit.data.class_order import whole_number
from dynvit.data.collection import Found, Layout
from dynvit.data.listing import cut
from dynvit.data.split_names import TEST, TRAIN
from dynvit.errors import InputError

_UNLISTED = "images that no list names"

Images = Mapping[PurePosixPath, Reader]


class _Line(NamedTuple):
    """A line of a list: the path under ``images/`` without suffix, the class, and its number where the list has one."""

    image: str
    written: str
    number: int | None


@dataclass(frozen=True)
class _Download:
    """A download: its lists lie in ``folder`` beside ``images/``, and are of these splits by their names.

    ``parse`` gives None for a line of another data set.
    """

    folder: str
    lists: Mapping[str, str]
    parse: Callable[[str], _Line | None]


def read_listed(images: Images, others: Files) -> Layout | None:
    """The images of Food-101 or Oxford-IIIT Pet as they are downloaded; None where it is neither.

    Raises: ``InputError`` where a list names an image that is not there or twice, or its numbers contradict each other.
    """
    return next((layout for download in _DOWNLOADS if (layout := _read(download, images, others))), None)


def _read(download: _Download, images: Images, others: Files) -> Layout | None:
    wanted = (download.folder, "test.txt")
    place = next((PurePosixPath(name).parent for name in others if PurePosixPath(name).parts[-2:] == wanted), None)
    if place is None or not all(str(place / name) in others for name in download.lists):
        return None
    root = place.parent / "images"
    stems = {str(path.with_suffix("")): path for path in images if path.is_relative_to(root)}
    lines = list(_lines(download, place, others))
    if not stems or any(line is None for _, _, line in lines):
        return None
    found: list[Found] = []
    numbers: dict[str, int | None] = {}
    seen: dict[str, str] = {}
    for where, split, line in lines:
        assert line is not None
        path = stems.get(str(root / line.image))
        if path is None:
            raise InputError(
                f"{where} names {cut(line.image)!r}, which is not among the files of {root}: fetch it again"
            )
        if str(path) in seen:
            raise InputError(f"{where}: {cut(line.image)} is in {seen[str(path)]} already: an image is of one split")
        seen[str(path)] = where
        if numbers.setdefault(line.written, line.number) != line.number:
            raise InputError(f"{where}: class {cut(line.written)} had another number before: fetch it again")
        found.append(Found(split, line.written, PurePosixPath(line.written, path.name), images[path], where))
    unlisted = [str(path) for path in images if str(path) not in seen]
    return Layout(found, {_UNLISTED: unlisted} if unlisted else {}, order=_order(numbers, str(place)))


def _lines(download: _Download, place: PurePosixPath, others: Files) -> Iterator[tuple[str, str, _Line | None]]:
    for name, split in download.lists.items():
        listed = str(place / name)
        for row, line in enumerate(others[listed]().decode("utf-8", "replace").splitlines(), 1):
            if line.strip() and not line.startswith("#"):
                yield f"{listed} line {row}", split, download.parse(line.strip())


def _order(numbers: Mapping[str, int | None], where: str) -> tuple[str, ...]:
    """The classes in the order of the numbers that lists give them; empty where they give none."""
    given = {name: number for name, number in numbers.items() if number is not None}
    if len(set(given.values())) < len(given):
        raise InputError(f"{where} gives two classes one number: fetch it again")
    return tuple(sorted(given, key=given.__getitem__))


def _food(line: str) -> _Line | None:
    """``apple_pie/1005649``."""
    path = PurePosixPath(line)
    return _Line(line, path.parts[0], None) if len(path.parts) == 2 and ".." not in path.parts else None


def _pet(line: str) -> _Line | None:
    """``Abyssinian_100 1 1 1``: image, class, species, breed."""
    cells = line.split()
    number = whole_number(cells[1]) if len(cells) == 4 else None
    breed = cells[0].rpartition("_")[0]
    return _Line(cells[0], breed, number) if number is not None and breed and "/" not in breed else None


_DOWNLOADS = (
    _Download("meta", {"train.txt": TRAIN, "test.txt": TEST}, _food),
    _Download("annotations", {"trainval.txt": TRAIN, "test.txt": TEST}, _pet),
)
