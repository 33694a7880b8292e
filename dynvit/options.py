"""A method's options: from ``name=value`` on a command line, and to and from JSON, by the dataclass's annotations."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeVar, Union

from dynvit.errors import InputError, unknown

OptionsT = TypeVar("OptionsT")
Json = dict[str, Any]


def parse_options(cls: type[OptionsT], given: Iterable[str], base: OptionsT | None = None) -> OptionsT:
    """``base`` (default: the class's defaults) with each ``name=value`` of ``given`` put in; a later one wins.

    Values are read by the field's annotation: bool (true/false), int, float, str, ``Literal``, ``X | None`` (none)
    and tuples, whose parts are separated by commas.

    >>> @dataclasses.dataclass(frozen=True)
    ... class Options:
    ...     ratio: float = 0.7
    ...     layers: tuple[int, ...] = (3, 6, 9)
    >>> parse_options(Options, ["layers=2,4"])
    Options(ratio=0.7, layers=(2, 4))

    Raises: ``InputError`` for a name that is none of the fields (with the nearest), a value of another type, and
    whatever the dataclass itself refuses.
    """
    hints = _hints(cls)
    values: Json = {}
    for item in given:
        name, sign, text = item.partition("=")
        name = name.strip()
        if not sign:
            raise InputError(f"option {item!r} is not name=value: {_names(hints)}")
        if name not in hints:
            raise unknown("option", name, hints)
        values[name] = _parse(text.strip(), hints[name], name)
    return dataclasses.replace(base if base is not None else cls(), **values)  # type: ignore[type-var]


def options_to_json(options: Any) -> Json:
    """The fields by name, tuples as lists; a field that was added with a default can be read back from older files."""
    found: Json = dataclasses.asdict(options)
    return {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()}


def options_from_json(cls: type[OptionsT], values: Mapping[str, Any]) -> OptionsT:
    """The inverse of ``options_to_json``; fields that ``values`` lacks have their defaults.

    >>> @dataclasses.dataclass(frozen=True)
    ... class Options:
    ...     layers: tuple[int, ...] = (3, 6, 9)
    >>> options_from_json(Options, options_to_json(Options((1, 2))))
    Options(layers=(1, 2))

    Raises: ``InputError`` for a name that is none of the fields, or a value of another type.
    """
    hints = _hints(cls)
    built: Json = {}
    for name, value in values.items():
        if name not in hints:
            raise unknown("option", name, hints)
        built[name] = _checked(value, hints[name], name)
    return cls(**built)


def _hints(cls: type[Any]) -> Mapping[str, Any]:
    hints = typing.get_type_hints(cls)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls) if field.init}


def _names(hints: Mapping[str, Any]) -> str:
    return f"names are {', '.join(hints)}" if hints else "this method has no options"


def _parse(text: str, kind: Any, name: str) -> Any:
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin in (Union, types.UnionType):
        if type(None) in args and text.lower() in ("none", "null", ""):
            return None
        return _first(text, [arg for arg in args if arg is not type(None)], name, kind)
    if origin is Literal:
        for choice in args:
            if text == str(choice):
                return choice
        raise InputError(f"option {name}={text}: one of {', '.join(map(str, args))} is allowed")
    if origin is tuple:
        parts = [part.strip() for part in text.strip("()[] ").split(",") if part.strip()]
        return tuple(_parse(part, part_kind, name) for part, part_kind in _pair(parts, args, name, text))
    if kind is bool:
        if text.lower() not in ("true", "false", "1", "0", "yes", "no"):
            raise _wrong(name, text, kind)
        return text.lower() in ("true", "1", "yes")
    if kind in (int, float, str):
        try:
            return kind(text)
        except ValueError:
            raise _wrong(name, text, kind) from None
    raise InputError(f"option {name} of type {_said(kind)} cannot be given as text")


def _checked(value: Any, kind: Any, name: str) -> Any:
    """A value that came from JSON, with lists back to tuples."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in args:
            return None
        return _first(value, [arg for arg in args if arg is not type(None)], name, kind, _checked)
    if origin is Literal and value in args:
        return value
    if origin is tuple and isinstance(value, list | tuple):
        pairs = _pair(value, args, name, value)
        return tuple(_checked(part, part_kind, name) for part, part_kind in pairs)
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if isinstance(kind, type) and isinstance(value, kind) and not (kind is int and isinstance(value, bool)):
        return value
    raise _wrong(name, value, kind)


def _first(value: Any, kinds: Iterable[Any], name: str, whole: Any, read: Any = _parse) -> Any:
    """The value as the first of ``kinds`` that takes it."""
    for kind in kinds:
        try:
            return read(value, kind, name)
        except InputError:
            continue
    raise _wrong(name, value, whole)


def _pair(parts: Any, args: tuple[Any, ...], name: str, text: Any) -> list[tuple[Any, Any]]:
    if len(args) == 2 and args[1] is Ellipsis:
        return [(part, args[0]) for part in parts]
    if len(parts) != len(args):
        raise InputError(f"option {name}={text}: {len(args)} values are wanted, {len(parts)} are given")
    return list(zip(parts, args, strict=True))


def _wrong(name: str, value: Any, kind: Any) -> InputError:
    return InputError(f"option {name}={value} is not {_said(kind)}")


def _said(kind: Any) -> str:
    said = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    return said.get(kind) or str(kind).replace("typing.", "")
