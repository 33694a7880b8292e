"""The norm and the radius of an attack, as settings. Imports no torch: configurations and reports use it."""

from __future__ import annotations

import math
from typing import Literal, get_args

from dynvit.errors import InputError, unknown

Norm = Literal["linf", "l2"]


def check_norm(norm: str) -> None:
    """Raises: ``InputError`` for a norm other than linf and l2."""
    if norm not in get_args(Norm):
        raise unknown("norm", norm, get_args(Norm))


def check_eps(eps: float) -> None:
    """Raises: ``InputError`` for a radius that is negative or not finite. Units: pixels in [0, 1]."""
    if not (math.isfinite(eps) and eps >= 0):
        raise InputError(f"eps must be a radius of 0 or more, of pixels in [0, 1], such as 4/255; got {eps:g}")


def read_eps(text: str) -> float:
    """A radius from text: a number or a fraction.

    >>> read_eps("4/255") == 4 / 255, read_eps("0.5")
    (True, 0.5)

    Raises: ``InputError`` for any other text, and a negative number.
    """
    above, _, below = text.partition("/")
    try:
        eps = float(above) / float(below or 1)
    except (ValueError, ZeroDivisionError):
        raise InputError(f"eps must be a number such as 4/255 or 0.5, got {text!r}") from None
    check_eps(eps)
    return eps
