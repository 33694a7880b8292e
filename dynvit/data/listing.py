"""Lists in one line: what was seen, cut where it is long."""

from __future__ import annotations

from collections.abc import Iterable

_LONGEST = 60  # characters of a name


def some(names: Iterable[str], most: int = 5) -> str:
    """The first names, and how many more there are.

    >>> some("abc"), some("abcdefgh", 3)
    ('a, b, c', 'a, b, c and 5 more')
    """
    found = list(names)
    more = f" and {len(found) - most:,} more" if len(found) > most else ""
    return ", ".join(cut(name) for name in found[:most]) + more


def cut(text: str) -> str:
    """Text of any length, for a message.

    >>> cut("x" * 200_000)
    'xxxxxxxxxxxxxxxxxxxxxxxxxxxxx…xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx'
    """
    half = _LONGEST // 2
    text = text.encode(errors="backslashreplace").decode()
    return text if len(text) <= _LONGEST else f"{text[: half - 1]}…{text[-half:]}"
