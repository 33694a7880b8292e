"""A method's mark as pages draw it: the colour and the marker of all our pictures, on light and on dark."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from dynvit.leaderboard.palette import style_of

DARK = "#16181d"
"""The dark theme's background."""
_CONTRAST = 4.5
"""What a mark has at least against it: text may have its colour (WCAG 2.2, 1.4.3)."""


class SiteMark(NamedTuple):
    """Colours as ``#rrggbb``, and an SVG path within a square from -1 to 1."""

    light: str
    dark: str
    path: str


@cache
def mark_of(method: str) -> SiteMark:
    """The mark of a method, by its name alone."""
    style = style_of(method)
    return SiteMark(style.colour, on_dark(style.colour), _path(style.marker))


def on_dark(colour: str) -> str:
    """The colour, as much lighter as it must be to be seen on dark.

    >>> on_dark("#6CBDEE"), on_dark("#2b2b2b") > "#7"
    ('#6cbdee', True)
    """
    channels = [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
    lighter = colour
    for step in range(21):
        mixed = [round(channel + (255 - channel) * step / 20) for channel in channels]
        lighter = "#{:02x}{:02x}{:02x}".format(*mixed)
        if contrast(lighter, DARK) >= _CONTRAST:
            break
    return lighter


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours, 1 to 21.

    Source: WCAG 2.2, "contrast ratio" and "relative luminance".

    >>> contrast("#000000", "#ffffff")
    21.0
    """
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: str) -> float:
    shares = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@cache
def _path(marker: str) -> str:
    """matplotlib's marker: its y points up, and it lies between -0.5 and 0.5."""
    from matplotlib.markers import MarkerStyle
    from matplotlib.path import Path

    style = MarkerStyle(marker)
    path = style.get_path().transformed(style.get_transform())
    letters = {Path.MOVETO: "M", Path.LINETO: "L", Path.CURVE3: "Q", Path.CURVE4: "C", Path.CLOSEPOLY: "Z"}
    steps = []
    for points, code in path.iter_segments(simplify=False):
        flipped = [2 * value if place % 2 == 0 else -2 * value for place, value in enumerate(points)]
        steps.append(letters[code] + ("" if code == Path.CLOSEPOLY else ",".join(f"{v:.3g}" for v in flipped)))
    return "".join(steps)
