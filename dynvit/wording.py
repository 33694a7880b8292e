"""How an operating point is said: "keep 0.70", "exits ≥ .83, .71". Import it from ``dynvit.interface`` in a method.

A board is shown without torch, and so without its methods. What a method says of its points is a function apart, in a
module that imports no torch, registered by the method's name: by an entry point in the group ``dynvit.wordings``, or
by ``@register_wording("name")`` in a plug-in file. Most methods need none: the names of the knobs say enough.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dynvit.plain import visible
from dynvit.registry import Registry

_WORDS = re.compile(r"[A-Za-z][A-Za-z0-9]*(_[A-Za-z0-9]+)*")  # any other name is shown as it is
_SERIES = re.compile(r"_?(\d+)$")
_SHARES = re.compile(r"_(ratio|rate)$")


@dataclass(frozen=True)
class PointToSay:
    """A value for every knob, as a record publishes it, with the method's options.

    ``decimals`` are as many as tell a method's points apart.
    """

    knobs: Mapping[str, bool | int | float | str]
    options: Mapping[str, Any]
    decimals: int = 2

    def number(self, knob: str) -> str:
        """The value of a knob in as many decimals as are shown; whole numbers and words as they are.

        >>> PointToSay({"keep_ratio": 0.7}, {}).number("keep_ratio")
        '0.70'
        """
        value = self.knobs[knob]
        if not isinstance(value, float):
            return str(value)
        shown = f"{value:.{self.decimals}f}"
        tiny, long = value != 0 and float(shown) == 0, len(shown) > 5 + self.decimals
        return f"{value:.{self.decimals}g}" if tiny or long else shown

    def share(self, knob: str) -> str:
        """The same without the zero before the point: thresholds and shares stand in rows.

        >>> PointToSay({"threshold_1": 0.83, "threshold_2": 1.0}, {}).share("threshold_1")
        '.83'
        """
        return re.sub(r"^(-?)0\.", r"\1.", self.number(knob))

    def series(self) -> dict[str, list[str]]:
        """The knobs by what is before their number, each in the order of the numbers.

        >>> PointToSay({"threshold_2": 0.7, "threshold_1": 0.8, "r": 8}, {}).series()
        {'r': ['r'], 'threshold': ['threshold_1', 'threshold_2']}
        """
        found: dict[str, list[tuple[int, str]]] = {}
        for name in sorted(self.knobs):
            numbered = _SERIES.search(name) if _WORDS.fullmatch(name) else None
            stem = name[: numbered.start()] if numbered else name
            found.setdefault(stem or name, []).append((int(numbered[1]) if numbered and stem else 0, name))
        return {stem: [name for _, name in sorted(members)] for stem, members in found.items()}


Wording = Callable[[PointToSay], str]
"""(point) → what it is called, or nothing where the names of the knobs say it better. It imports no torch."""

wordings: Registry[Wording] = Registry("wording", "dynvit.wordings")
register_wording = wordings.register


def wording_of(method: str) -> Wording:
    """What a method says of its points: nothing where it is not known, or stumbles over knobs that it does not know."""
    found = wordings.get(method) if method in wordings.names() else None

    def said(point: PointToSay) -> str:
        try:
            return "" if found is None else visible(str(found(point)))
        except Exception:  # a board may come from another version of the method, or from anywhere
            return ""

    return said


def plain_words(point: PointToSay) -> str:
    """The knobs by their names: what any method's points are called that says nothing itself.

    >>> plain_words(PointToSay({"keep_ratio": 0.7}, {}))
    'keep 0.70'
    >>> plain_words(PointToSay({"gate_1": 0.5, "gate_2": 0.25, "r": 8}, {}))
    'gate .50, .25, r 8'
    """
    if len(point.knobs) > 1 and len(set(point.knobs.values())) == 1:
        return visible(f"all knobs {point.number(next(iter(point.knobs)))}")
    return visible(", ".join(_said(stem, names, point) for stem, names in point.series().items()))


def _said(stem: str, names: Sequence[str], point: PointToSay) -> str:
    word = _SHARES.sub("", stem).replace("_", " ") if _WORDS.fullmatch(stem) else stem
    if names == [stem]:
        return f"{word} {point.number(stem)}"
    return f"{word} {', '.join(point.share(name) for name in names)}"
