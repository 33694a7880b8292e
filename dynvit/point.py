"""A setting of a method's knobs. Import it from ``dynvit.interface``, where the contract stands whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dynvit.errors import InputError

KnobValue = float | int | str


class OperatingPoint(Mapping[str, KnobValue]):
    """One setting of all of a method's knobs; immutable and hashable.

    >>> OperatingPoint(keep_ratio=0.7)["keep_ratio"]
    0.7
    """

    __slots__ = ("_knobs",)

    def __init__(self, **knobs: KnobValue) -> None:
        self._knobs = tuple(sorted(knobs.items()))

    def __getitem__(self, knob: str) -> KnobValue:
        for name, value in self._knobs:
            if name == knob:
                return value
        raise KeyError(knob)

    def number(self, knob: str) -> float:
        """The value of a numeric knob.

        Raises: ``InputError`` where the point does not set it, or not to a number.
        """
        value = self.get(knob)
        if value is None or isinstance(value, str):
            names = ", ".join(self) or "nothing"
            raise InputError(f"the operating point needs a number for knob {knob!r}; it sets {names}")
        return value

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self._knobs)

    def __len__(self) -> int:
        return len(self._knobs)

    def __hash__(self) -> int:
        return hash(self._knobs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OperatingPoint) and self._knobs == other._knobs

    def __repr__(self) -> str:
        return f"OperatingPoint({', '.join(f'{k}={v!r}' for k, v in self._knobs)})"
