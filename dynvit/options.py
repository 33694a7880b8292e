"""A method's options: from ``name=value`` on a command line, and to and from JSON, by the dataclass's annotations."""

from __future__ import annotations

import contextlib
import dataclasses
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeVar, Union

from pydantic import PydanticUserError, TypeAdapter
from pydantic_core import to_json, to_jsonable_python

from dynvit.errors import InputError, unknown

OptionsT = TypeVar("OptionsT")
Json = dict[str, Any]


def parse_options(cls: type[OptionsT], given: Iterable[str], base: OptionsT | None = None) -> OptionsT:
    """``base`` (default: the class's defaults) with each ``name=value`` of ``given`` put in.

    Values are read by the field's annotation as pydantic reads text: bool (true/false, yes/no, on/off, 1/0), int,
    float, str and what else pydantic knows; also ``Literal``, ``X | None`` (none), ``X | Y`` (the first that fits) and
    tuples, whose parts are separated by commas.

    >>> @dataclasses.dataclass(frozen=True)
    ... class Options:
    ...     ratio: float = 0.7
    ...     layers: tuple[int, ...] = (3, 6, 9)
    >>> parse_options(Options, ["layers=2,4"])
    Options(ratio=0.7, layers=(2, 4))

    Raises: ``InputError`` for a name that is none of the fields (with the nearest), or is given twice with two values,
    a value of another type, and whatever the dataclass itself refuses.
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
        value = _parse(text.strip(), hints[name], name)
        if values.setdefault(name, value) != value:
            raise InputError(f"option {name!r} is given twice, as {values[name]!r} and as {value!r}: give it once")
    return dataclasses.replace(base if base is not None else cls(), **values)  # type: ignore[type-var]


def option_texts(given: Any, what: str = "options") -> list[str]:
    """Options that a Python caller gave by name, as they are typed. Raises: ``InputError`` for what has no names."""
    if given is None:
        return []
    if not isinstance(given, Mapping):
        raise InputError(f'{what} must be by name, {{"stages": 2}} for one, got {given!r}')
    return [option_text(*one) for one in given.items()]


def option_text(name: str, value: Any) -> str:
    """A value from Python as ``parse_options`` reads it.

    >>> option_text("layers", (2, 4)), option_text("bias", True), option_text("depth", None)
    ('layers=2,4', 'bias=true', 'depth=none')
    """
    if isinstance(value, list | tuple):
        return f"{name}={','.join(map(str, value))}"
    return f"{name}={str(value).lower() if isinstance(value, bool) or value is None else value}"


def options_to_json(options: Any) -> Json:
    """The fields by name, tuples as lists; a field that was added with a default can be read back from older files."""
    found: Json = to_jsonable_python(options)
    return found


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
        built[name] = _valid(value, hints[name], name, json=True)
    return cls(**built)


def _hints(cls: type[Any]) -> Mapping[str, Any]:
    if not (isinstance(cls, type) and dataclasses.is_dataclass(cls)):
        raise InputError(f"a method's Options must be a dataclass, got {cls!r}: its author must mend that")
    hints = typing.get_type_hints(cls)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls) if field.init}


def _names(hints: Mapping[str, Any]) -> str:
    return f"names are {', '.join(hints)}" if hints else "this method has no options"


def _parse(text: str, kind: Any, name: str) -> Any:
    """Text by its annotation: what is none, a tuple's parts and a choice is said here, what a part is by pydantic."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin in (Union, types.UnionType):
        if type(None) in args and text.lower() in ("none", "null", ""):
            return None
        for one in args:
            with contextlib.suppress(InputError):
                return _parse(text, one, name)
        raise _wrong(name, text, kind)
    if origin is tuple:
        parts = [part.strip() for part in text.strip("()[] ").split(",") if part.strip()]
        kinds = args[:1] * len(parts) if args[-1:] == (...,) else args
        if len(parts) != len(kinds):
            raise InputError(f"option {name}={text}: {len(kinds)} values are wanted, {len(parts)} are given")
        return tuple(_parse(part, part_kind, name) for part, part_kind in zip(parts, kinds, strict=True))
    value = next((choice for choice in args if text == str(choice)), text) if origin is Literal else text
    return _valid(value, kind, name)


def _valid(value: Any, kind: Any, name: str, *, json: bool = False) -> Any:
    """The value by its annotation: as JSON strictly, with lists for tuples; else also from text."""
    try:
        adapter = TypeAdapter(kind)
        return adapter.validate_json(to_json(value), strict=True) if json else adapter.validate_python(value)
    except ValueError as error:  # pydantic's ValidationError, and to_json's for what JSON cannot hold
        raise _wrong(name, value, kind) from error
    except PydanticUserError as error:
        raise InputError(f"option {name} of type {kind} can only be set in Python") from error


def _wrong(name: str, value: Any, kind: Any) -> InputError:
    if typing.get_origin(kind) is Literal:
        return InputError(f"option {name}={value}: one of {', '.join(map(str, typing.get_args(kind)))} is allowed")
    said = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    return InputError(f"option {name}={value} is not {said.get(kind) or str(kind).replace('typing.', '')}")
