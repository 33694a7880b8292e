"""The order of classes: names that are numbers are the labels themselves; others are sorted."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from dynvit.data.listing import cut
from dynvit.errors import InputError

MAX_CLASSES = 100_000
LONGEST_NAME = 255
"""Characters of a class name."""

_WHOLE = re.compile(r"\+?0*(?P<digits>[0-9]{1,9})(?:\.0*)?")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:[.,][0-9]*)?|[.,][0-9]+)(?:e[+-]?[0-9]+)?", re.IGNORECASE)
_MISSING = frozenset({"", "nan", "<na>", "null", "#n/a"})


@dataclass(frozen=True)
class Classes:
    """The classes of a collection: their names by label, and the label of each name as it was written."""

    names: tuple[str, ...]
    labels: Mapping[str, int]


def whole_number(text: str) -> int | None:
    """The number from 0 that text certainly means, however it is padded; None for anything else.

    >>> [whole_number(text) for text in ("7", "007", "7.0", "7.5", "-7", "seven", "1_0")]
    [7, 7, 7, None, None, None, None]
    """
    match = _WHOLE.fullmatch(text)
    return int(match["digits"]) if match else None


def order_classes(written: Mapping[str, str], *, keep_spelling: bool = False) -> Classes:
    """The order of classes from their names as they are written, each with the place where it was first seen.

    Names that are all whole numbers are the labels, so that class 10 is label 10 with or without a class 9; all others
    are sorted as text. ``keep_spelling`` keeps numbers as they are written (``007``), and refuses one in two spellings.

    >>> order_classes({"b": "row 1", "a": "row 2"}).labels
    {'a': 0, 'b': 1}
    >>> order_classes({"10": "row 1", "2": "row 2"}).labels
    {'2': 2, '10': 10}

    Raises: ``InputError`` with the place of a name that is missing or too long, of numbers beside other names, and of
    numbers that are negative, no whole ones, or ``MAX_CLASSES`` and more.
    """
    for name, place in written.items():
        _check_name(name, place)
    numbers = {name: place for name, place in written.items() if _NUMBER.fullmatch(name)}
    if not numbers:
        names = tuple(sorted(written))
        return Classes(names, {name: label for label, name in enumerate(names)})
    if len(numbers) < len(written):
        number, text = next(iter(numbers)), next(name for name in written if name not in numbers)
        raise InputError(
            f"{written[text]}: class {cut(text)!r} is no number, and {cut(number)!r} ({written[number]}) is one: "
            "either all classes must be whole numbers, which are the labels, or none may be"
        )
    return _numbered(numbers, keep_spelling)


def _numbered(written: Mapping[str, str], keep_spelling: bool) -> Classes:
    labels: dict[str, int] = {}
    spelled: dict[int, str] = {}
    for name, place in written.items():
        label = whole_number(name)
        if label is None or label >= MAX_CLASSES:
            raise InputError(
                f"{place}: a class that is a number must be whole, from 0 to {MAX_CLASSES - 1:,}, got {cut(name)!r}"
            )
        first = spelled.setdefault(label, name)
        if keep_spelling and first != name:
            raise InputError(f"{place}: class {name!r} is {first!r} ({written[first]}) again: write each class one way")
        labels[name] = label
    count = max(spelled) + 1
    names = tuple(spelled.get(label, str(label)) if keep_spelling else str(label) for label in range(count))
    return Classes(names, dict(sorted(labels.items(), key=lambda item: item[1])))


def _check_name(name: str, place: str) -> None:
    if name.strip().casefold() in _MISSING:
        raise InputError(f"{place}: no class is given, only {name!r}: every image must have one")
    if len(name) > LONGEST_NAME:
        raise InputError(f"{place}: a class name must have at most {LONGEST_NAME} characters, got {len(name):,}")
    if name != name.strip():
        raise InputError(f"{place}: a class name must not begin or end with a blank, got {cut(name)!r}")
    if not name.isprintable():
        raise InputError(f"{place}: a class name must be printable text in one line, got {cut(ascii(name))}")
