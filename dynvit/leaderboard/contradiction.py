"""Numbers that follow from others, derived again and compared with what a file says.

What is stored is stored to the last bit, so that what is derived again differs by the rounding of another machine or
another version of scipy at most.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dynvit.reading import is_number

_RELATIVE, _ABSOLUTE = 1e-9, 1e-11
_LONGEST = 80


@dataclass(frozen=True)
class Contradiction:
    """A number that does not follow from the rest. ``at``: its keys, joined by dots; ``must``: what had to hold."""

    at: str
    must: str
    got: object

    def __str__(self) -> str:
        return f"{self.at} must {self.must}, got {said(self.got)}"

    def within(self, key: str) -> Contradiction:
        """The same, said from one level higher."""
        return Contradiction(f"{key}.{self.at}", self.must, self.got)


def alike(one: object, other: object) -> bool:
    """Whether two values are the same but for the rounding of floats."""
    if isinstance(one, float) or isinstance(other, float):
        numbers = is_number(one) and is_number(other)
        return numbers and math.isclose(one, other, rel_tol=_RELATIVE, abs_tol=_ABSOLUTE)  # type: ignore[arg-type]
    return one == other and isinstance(one, bool) is isinstance(other, bool)


def equal(at: str, got: object, must: object, why: str) -> Iterator[Contradiction]:
    """A contradiction where the value is another."""
    if not alike(got, must):
        yield Contradiction(at, f"be {said(must)} ({why})", got)


def between(at: str, got: float, low: float, high: float, why: str) -> Iterator[Contradiction]:
    """A contradiction where the number is outside."""
    if not (low <= got <= high or alike(got, low) or alike(got, high)):
        yield Contradiction(at, f"be {said(float(low))} to {said(float(high))} ({why})", got)


def share_of_images(at: str, percent: float | None, n: int) -> Iterator[Contradiction]:
    """A contradiction where a percentage is of no whole number of images."""
    if percent is not None and not alike(percent, 100 * round(percent * n / 100) / n):
        yield Contradiction(at, f"be a whole number of {n:,} images, in percent", percent)


def differences(got: Any, must: Any, why: str, at: str = "", *, older: bool = False) -> Iterator[Contradiction]:
    """Contradictions of two JSON values. A key that the one lacks and that says nothing in the other is none.

    Args:
        got, must: what is, and what must be.
        why: where the latter comes from.
        at: their keys, joined by dots.
        older: whether a key that ``got`` lacks is none either: an older version did not write it.
    """
    if isinstance(got, Mapping) and isinstance(must, Mapping):
        for key in [*must, *(key for key in got if key not in must)]:
            one, other = got.get(key), must.get(key)
            if not ((_empty(one) and _empty(other)) or (older and key not in got)):
                yield from differences(one, other, why, _joined(at, key), older=older)
    elif isinstance(got, Sequence) and isinstance(must, Sequence) and not isinstance(got, str):
        if len(got) != len(must):
            yield Contradiction(at, f"have {len(must)} members ({why})", f"{len(got)}")
        for place, (one, other) in enumerate(zip(got, must, strict=False)):
            yield from differences(one, other, why, _joined(at, str(place)), older=older)
    else:
        yield from equal(at, got, must, why)


def said(value: object) -> str:
    """A value in a sentence: all digits of a float that tell it from another, no quotes around a word, its start."""
    if isinstance(value, float):
        short = f"{value:.8g}"
        return short if alike(float(short), value) else repr(value)
    if isinstance(value, Mapping | Sequence) and not isinstance(value, str):
        return f"{len(value)} members" if value else "nothing"
    text = "null" if value is None else str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _empty(value: object) -> bool:
    return value is None or (isinstance(value, Mapping | Sequence) and not value and not isinstance(value, str))


def _joined(at: str, key: str) -> str:
    return f"{at}.{key}" if at else key
