"""The norm and the radius of an attack, as settings. Imports no torch: configurations and reports use it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, get_args

from dynvit.errors import InputError, unknown

Norm = Literal["linf", "l2"]


def check_norm(norm: str) -> None:
    """Raises: ``InputError`` for a norm other than linf and l2."""
    if norm not in get_args(Norm):
        raise unknown("norm", norm, get_args(Norm))


def largest_eps(norm: Norm, shape: Sequence[int]) -> float:
    """The distance between the two images that are furthest apart: no ball needs a larger radius.

    Shape: ``shape`` of an image, all of its numbers count. Units: pixels in [0, 1].

    >>> largest_eps("linf", (3, 8, 8)), largest_eps("l2", (3, 4, 3))
    (1.0, 6.0)
    """
    return 1.0 if norm == "linf" else math.sqrt(math.prod(shape))


def check_eps(eps: float, norm: Norm, shape: Sequence[int] | None = None) -> None:
    """Raises: ``InputError`` for a radius that is negative, not finite, or larger than any two images are apart.

    Under L2 that depends on the ``shape`` of an image, and is not looked at without one. Units: pixels in [0, 1].
    """
    if not (math.isfinite(eps) and eps >= 0):
        raise InputError(f"eps must be a radius of 0 or more, of pixels in [0, 1], such as 4/255; got {eps:g}")
    most = 1.0 if norm == "linf" else math.inf if shape is None else largest_eps(norm, shape)
    if eps > most:
        size = "" if norm == "linf" else f" for images of {' x '.join(map(str, shape or ()))}"
        raise InputError(
            f"eps must be at most {most:.4g} under {norm}{size}, where pixels lie in [0, 1] and every image is within "
            f"that of any other; got {eps:g}{_meant(eps, norm)}"
        )


def _meant(eps: float, norm: Norm) -> str:
    """Who gives whole numbers counts pixels to 255.

    >>> _meant(8.0, "linf"), _meant(1000.0, "l2")
    (': is 8/255 meant?', '')
    """
    return f": is {eps:g}/255 meant?" if norm == "linf" and eps <= 255 else ""


def read_eps(text: str, norm: Norm = "linf") -> float:
    """The radius of an attack from text: a number or a fraction.

    >>> read_eps("4/255") == 4 / 255, read_eps("0.5")
    (True, 0.5)

    Raises: ``InputError`` for any other text, for 0, within which there is nothing to attack, and as ``check_eps``.
    """
    above, _, below = text.partition("/")
    try:
        eps = float(above) / float(below or 1)
    except (ValueError, ZeroDivisionError):
        raise InputError(f"eps must be a number such as 4/255 or 0.5, got {text!r}") from None
    if not 0 < eps < math.inf:
        raise InputError(f"eps must be a radius above 0, of pixels in [0, 1], such as 4/255; got {text}")
    check_eps(eps, norm)
    return eps
