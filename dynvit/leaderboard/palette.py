"""One colour and one marker a method name: the same in every picture of every board."""

from __future__ import annotations

from hashlib import sha256
from typing import NamedTuple

from dynvit.figures import INK

FAINT = "#8a8a8a"


class Style(NamedTuple):
    """How a method is drawn: a colour as ``#rrggbb``, and one of matplotlib's filled markers."""

    colour: str
    marker: str


# Okabe & Ito 2008, a little lighter or darker so that they differ in grey too, and Tol's "muted" (technote
# SRON/EPS/TN/09-002): told apart with any colour vision. Their yellows are left out, which white swallows, and their
# black and greys, which are those of dense and of the controls.
COLOURS = (
    "#0063A8", "#D55E00", "#008F68", "#CC79A7", "#DB9200", "#6CBDEE",
    "#332288", "#882255", "#117733", "#999933", "#AA4499", "#CC6677", "#44AA99",
)  # fmt: skip
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p", "<", ">", "h", "d", "8", "H")

# Methods that share pictures most differ in colour, marker and lightness: a print in grey tells them too.
FIXED = {
    "dense": Style(INK, "*"),
    "random": Style("#6CBDEE", "D"),
    "topk": Style("#DB9200", "v"),
    "dynamicvit": Style("#008F68", "s"),
    "dvt": Style("#0063A8", "o"),
    "mia": Style("#882255", "^"),
    "tome": Style("#CC79A7", "P"),
    "evit": Style("#D55E00", "X"),
    "diffrate": Style("#999933", "p"),
    "ats": Style("#AA4499", "<"),
    "avit": Style("#332288", ">"),
    "adavit": Style("#117733", "d"),
    "thinkingvit": Style("#CC6677", "h"),
    "mctf": Style("#44AA99", "8"),
    "atc": Style("#661100", "H"),
    "resolution": Style("#767676", "s"),
    "depth": Style("#A5A5A5", "^"),
    "classrow": Style("#505050", "d"),
}
_TAKEN = set(FIXED.values())


def style_of(method: str) -> Style:
    """The colour and marker of a method, by its name alone.

    Names that the field knows are fixed; any other has the first pair that hashes of it choose and that no fixed name
    has. Two unknown names may meet, one pair of names in about 170; a name that becomes fixed moves no other, unless
    it takes that one's pair.

    >>> style_of("dense")
    Style(colour='#2b2b2b', marker='*')
    """
    if method in FIXED:
        return FIXED[method]
    chosen, tries = None, 0
    while chosen is None or chosen in _TAKEN:
        number = int.from_bytes(sha256(f"{tries} {method}".encode()).digest()[:8], "big")
        chosen = Style(COLOURS[number % len(COLOURS)], MARKERS[number // len(COLOURS) % len(MARKERS)])
        tries += 1
    return chosen


Dash = tuple[float, ...]
SOLID: Dash = ()
DASHES: tuple[Dash, ...] = (SOLID, (4, 1.5), (1, 1.2), (5, 1.5, 1, 1.5), (9, 2), (5, 1.2, 1, 1.2, 1, 1.2))
"""Lengths of strokes and gaps, in widths of the line."""
# Two methods whose colours are close, in grey or to some eyes, have different ones; a test measures it.
_DASH_OF = {
    **dict.fromkeys(("dense", "dynamicvit", "ats", "avit"), 0),
    **dict.fromkeys(("topk", "evit", "atc"), 1),
    **dict.fromkeys(("random", "diffrate", "resolution", "classrow"), 2),
    **dict.fromkeys(("dvt", "thinkingvit", "depth"), 3),
    **dict.fromkeys(("mia", "adavit", "mctf"), 4),
    "tome": 5,
}


def dash_of(method: str) -> Dash:
    """How a method's line is broken, by its name alone: with the marker it tells methods apart without colour.

    >>> dash_of("topk"), dash_of("dynamicvit")
    ((4, 1.5), ())
    """
    if method in _DASH_OF:
        return DASHES[_DASH_OF[method]]
    return DASHES[sha256(f"dash {method}".encode()).digest()[0] % len(DASHES)]
