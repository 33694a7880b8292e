"""What a measurement can be told, declared once: the names in a suite, the flags, and what values must be."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from numbers import Integral
from typing import Any, TypeVar, Union

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from dynvit.errors import InputError

ModelT = TypeVar("ModelT", bound=BaseModel)


class Settings(BaseModel):
    """A measurement's settings, each a field made by ``setting``. Subclasses validate what belongs together."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def flat(self, prefix: str = "") -> dict[str, Any]:
        """The values by the names that a suite gives them."""
        values = self.model_dump(mode="json")
        return {flag.name: values[flag.field] for flag in flags_of(type(self), prefix)}


def setting(
    default: Any, *, help: str, flag: str = "", metavar: str = "", switch: bool = False, panel: str = "", **limits: Any
) -> Any:
    """A field with its flag (default: made from the measurement's and the field's name).

    ``switch``: to give this setting is to ask for the measurement. ``limits`` are pydantic's: ``ge=1``.
    """
    extra: Any = {"flag": flag, "metavar": metavar, "switch": switch, "panel": panel}
    return Field(default, description=help, json_schema_extra=extra, **limits)


@dataclasses.dataclass(frozen=True)
class Flag:
    """One field as the command line and a suite see it. ``name`` is its key in a suite, ``speed_rounds`` for one."""

    field: str
    name: str
    metavar: str
    help: str
    switch: bool
    annotation: Any = dataclasses.field(hash=False)
    panel: str = ""
    default: Any = dataclasses.field(default=None, hash=False)

    @property
    def flag(self) -> str:
        """As it is typed."""
        return "--" + self.name.replace("_", "-")

    @property
    def kind(self) -> Any:
        """The type without None."""
        if typing.get_origin(self.annotation) in (Union, types.UnionType):
            rest = [arg for arg in typing.get_args(self.annotation) if arg is not type(None)]
            return rest[0] if len(rest) == 1 else Union[tuple(rest)]  # noqa: UP007 - made at run time
        return self.annotation

    @property
    def is_bool(self) -> bool:
        """Whether it is typed alone, or with ``no-`` before it."""
        return self.kind is bool

    @property
    def is_number(self) -> bool:
        """Whether a value is one number."""
        return self.kind in (int, float)

    @property
    def is_grouped(self) -> bool:
        """Whether values come by group, ``pgd.steps=5``, and may be repeated."""
        return typing.get_origin(self.kind) in (Mapping, dict)

    @property
    def is_list(self) -> bool:
        """Whether values have commas between them."""
        return typing.get_origin(self.kind) is tuple

    def read(self, value: Any) -> Any:
        """A value of the command line or of YAML: text with commas becomes a tuple, one number a tuple of one.

        Raises: ``InputError`` for a list with nothing in it or between its commas, and true or false for a number.
        """
        if self.is_list:
            if isinstance(value, str):
                value = self._parts(value)
            found = tuple(value) if isinstance(value, list | tuple) else (value,)
            if not self.switch and any(isinstance(part, bool) for part in found):
                raise InputError(f"{self.flag} must be {self.metavar or 'a list'}, got {value!r}")
            return found
        if isinstance(value, bool) and self.is_number:
            raise InputError(f"{self.flag} must be a number, got {value!r}")
        if self.is_grouped and isinstance(value, list | tuple):
            return by_group(value, self.flag, "." if "." in self.metavar else "=")
        return value

    def _parts(self, text: str) -> tuple[str, ...]:
        parts = tuple(part.strip() for part in text.split(","))
        if not any(parts):
            raise InputError(f"{self.flag} must name one or more, got none: give {self.metavar}, or leave it out")
        if not all(parts):
            raise InputError(f"{self.flag} must have a value on both sides of each comma, got {text!r}")
        return parts


def flags_of(model: type[BaseModel], prefix: str = "") -> Iterator[Flag]:
    """The flags of every field that was made by ``setting``."""
    for field, info in model.model_fields.items():
        extra = info.json_schema_extra
        if isinstance(extra, dict) and "flag" in extra:
            given = str(extra["flag"]).removeprefix("--").replace("-", "_")
            name = given or (f"{prefix}_{field}" if prefix else field)
            yield Flag(
                field=field,
                name=name,
                metavar=str(extra["metavar"]),
                help=info.description or "",
                switch=bool(extra["switch"]),
                annotation=_annotation(info),
                panel=str(extra["panel"]),
                default=None if info.default is PydanticUndefined else info.default,
            )


def _annotation(info: FieldInfo) -> Any:
    return info.annotation


def validated(model: type[ModelT], values: Mapping[str, Any], flags: Iterable[Flag]) -> ModelT:
    """The settings of these values.

    Raises: ``InputError`` that names the flag, what its value must be, and the value that was given.
    """
    try:
        return model(**values)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        by_field = {flag.field: flag.flag for flag in flags}
        where = by_field.get(str(fault["loc"][0]), str(fault["loc"][0])) if fault["loc"] else ""
        raise InputError(f"{where} {said(fault)}".strip()) from error


def said(fault: Mapping[str, Any]) -> str:
    """One of pydantic's faults in our words: what must hold, and what was given.

    >>> said({"type": "greater_than_equal", "msg": "Input should be greater than or equal to 1", "input": 0})
    'must be greater than or equal to 1, got 0'
    """
    message = str(fault["msg"]).removeprefix("Value error, ")
    if fault["type"] in ("value_error", "assertion_error"):
        return f"({message})" if message.startswith("--") else message
    message = message.replace("Input should be", "must be", 1).partition(", unable to parse")[0]
    if fault["type"] == "too_short":
        return "must name one or more, got none"
    return f"{message}, got {_as_typed(fault['input'])}"


def _as_typed(given: Any) -> str:
    """A number as it was typed, without the quotes of a string."""
    try:
        float(given)
    except (TypeError, ValueError):
        return repr(given)
    return str(given)


def changed_flags(of: BaseModel, names: Iterable[str]) -> list[str]:
    """The flags, as they are typed, of the fields among ``names`` that are not at their defaults."""
    fields, flags = type(of).model_fields, {flag.field: flag.flag for flag in flags_of(type(of))}
    return [flags[name] for name in names if getattr(of, name) != fields[name].default]


def whole(given: Any, what: str) -> int:
    """A whole number, 1 or more, that a Python caller gave. Raises: ``InputError`` for anything else."""
    if isinstance(given, bool) or not isinstance(given, Integral) or given < 1:
        raise InputError(f"{what} must be a whole number, 1 or more, got {given!r}")
    return int(given)


def by_group(given: Iterable[str], flag: str, sign: str) -> dict[str, tuple[str, ...]]:
    """``group<sign>rest``, collected by group.

    >>> by_group(["pgd.steps=5", "pgd.seed=1"], "--attack-option", ".")
    {'pgd': ('steps=5', 'seed=1')}

    Raises: ``InputError`` for an item without its group.
    """
    found: dict[str, tuple[str, ...]] = {}
    for item in given:
        group, found_sign, rest = str(item).partition(sign)
        if not found_sign or not group or not rest:
            whose = "attack: write pgd" if flag == "--attack-option" else "method: write dynamicvit"
            raise InputError(f"{flag} {item!r} lacks its {whose}{sign}…")
        found[group] = (*found.get(group, ()), rest)
    return found
