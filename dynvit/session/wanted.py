"""A model that is wanted: named, and not open yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dynvit.interface import Method, methods
from dynvit.options import parse_options


@dataclass(frozen=True)
class Wanted:
    """A model that is not open yet: a method with its options, and where its trained parts are, if anywhere."""

    name: str
    method: Method[Any]
    options: Any
    asked: tuple[str, ...] = ()
    checkpoint: str | None = None
    label: str = ""

    @classmethod
    def of(cls, name: str, asked: Sequence[str] = (), checkpoint: str | None = None, label: str = "") -> Wanted:
        """Raises: ``InputError`` for an unknown method, or an option that it does not take."""
        kind = methods.get(name)
        return cls(name, kind(), parse_options(kind.Options, asked), tuple(asked), checkpoint, label or name)
