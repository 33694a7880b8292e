"""A method's knobs on a backbone, and operating points as people give them: every knob by name, in its range."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from torch import nn

from dynvit.errors import InputError, unknown
from dynvit.interface import KnobValue, Method, OperatingPoint


def knobs_of(method: Method[Any], options: Any, backbone: Callable[[], nn.Module]) -> Mapping[str, BaseDistribution]:
    """What can be set of a method on a backbone, which is made only where a range depends on it."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    taken = [one for one in inspect.signature(method.knobs).parameters.values() if one.kind in kinds]
    return method.knobs(options, backbone()) if len(taken) > 1 else method.knobs(options)


def parse_point(knobs: Mapping[str, BaseDistribution], given: Iterable[str]) -> OperatingPoint:
    """A point from ``name=value`` for every knob.

    >>> parse_point({"keep_ratio": FloatDistribution(0.1, 1.0)}, ["keep_ratio=0.7"])
    OperatingPoint(keep_ratio=0.7)

    Raises: ``InputError`` for a knob that is unknown or missing, and a value out of its range.
    """
    values: dict[str, str] = {}
    for item in given:
        name, sign, text = item.partition("=")
        if not sign:
            raise InputError(f"--knob {item!r} is not NAME=VALUE: names are {', '.join(knobs) or 'none'}")
        if name in values:
            raise InputError(f"--knob {name} is given twice, as {values[name]} and as {text}: give it once")
        values[name] = text
    return point_of(knobs, values)


def point_of(knobs: Mapping[str, BaseDistribution], values: Mapping[str, KnobValue]) -> OperatingPoint:
    """A point from a value for every knob; text is read as the knob's own type. Raises: as ``parse_point``."""
    for name in values:
        if name not in knobs:
            raise unknown("knob", name, knobs)
    point = OperatingPoint(**{name: _value(name, value, knobs[name]) for name, value in values.items()})
    missing = [name for name in knobs if name not in point]
    if missing:
        raise InputError(f"--knob lacks {', '.join(missing)}: an operating point sets every knob; or give a budget")
    return point


def point_said(point: OperatingPoint) -> str:
    """The point in words.

    >>> point_said(OperatingPoint(keep_ratio=0.70001))
    'keep_ratio=0.7'
    """
    return ", ".join(f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in point.items())


def _value(name: str, given: KnobValue, distribution: BaseDistribution) -> KnobValue:
    if isinstance(distribution, FloatDistribution | IntDistribution):
        whole = isinstance(distribution, IntDistribution)
        try:
            value = int(given) if whole else float(given)
            if isinstance(given, bool) or (isinstance(given, float) and value != given):
                raise ValueError
        except (ValueError, OverflowError):
            if whole:
                raise InputError(f"knob {name} must be a whole number, got {given!r}") from None
            raise InputError(f"knob {name} must be a number, got {given!r}") from None
        if not distribution.low <= value <= distribution.high:
            raise InputError(f"knob {name} must lie in [{distribution.low}, {distribution.high}], got {given}")
        return value
    choices = getattr(distribution, "choices", ())
    for choice in choices:
        if str(choice) == str(given):
            return choice
    raise InputError(f"knob {name} must be one of {', '.join(map(str, choices))}, got {given}")
