"""Files that people give: regular ones, text that is text, JSON and YAML that say one thing."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeGuard

from dynvit.errors import InputError, os_fault

if TYPE_CHECKING:
    import yaml

LARGEST = 1 << 30
"""Bytes of a file that is read whole as text."""
MOST_NODES = 100_000
"""Values that a YAML file may stand for, its aliases written out."""

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether a value is a number, as JSON has it: true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def path_given(given: Any, what: str) -> str:
    """A path that a Python caller gave. Raises: ``InputError`` for what is none."""
    if isinstance(given, str | os.PathLike):
        return os.fspath(given)
    raise InputError(f"{what} must be a path, got {given!r}")


def open_regular(path: str | os.PathLike[str], what: str = "file") -> BinaryIO:
    """The file for reading. A pipe is never waited for.

    Raises: ``InputError`` where there is none, it cannot be read, or it is a folder, a pipe, a socket or a device.
    """
    try:
        # Not to wait for a pipe's other end: only an open file can be asked what it is, without a race.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    except OSError as error:
        if _kind(os.fspath(path)):
            raise _not_regular(path, what, _kind(os.fspath(path))) from error
        raise InputError(f"{what}: {os_fault(error)}") from error
    except ValueError as error:  # a path with a zero byte in it
        raise InputError(f"{what} {str(path)!r} cannot be a path ({error})") from error
    mode = os.fstat(handle).st_mode
    if not stat.S_ISREG(mode):
        os.close(handle)
        raise _not_regular(path, what, next((name for test, name in _KINDS if test(mode)), "no regular file"))
    return os.fdopen(handle, "rb")


def check_regular(path: str | os.PathLike[str], what: str = "file") -> Path:
    """The path, of a file that a library is about to open by its name. Raises: as ``open_regular``."""
    open_regular(path, what).close()
    return Path(path)


def read_bytes(path: str | os.PathLike[str], what: str = "file", largest: int = LARGEST) -> bytes:
    """All of a file. Raises: as ``open_regular``, and ``InputError`` for one that is larger than ``largest`` bytes."""
    with open_regular(path, what) as file:
        try:
            content = file.read(largest + 1)
        except OSError as error:
            error.filename = error.filename or str(path)
            raise InputError(f"{what}: {os_fault(error)}") from error
    if len(content) > largest:
        raise InputError(f"{what} {str(path)!r} has more than {largest:,} bytes, which no {what} has: give another")
    return content


def read_text(path: str | os.PathLike[str], what: str = "file") -> str:
    """A text file in UTF-8, with or without a byte-order mark. Raises: as ``read_bytes``, and for what is no text."""
    return as_text(read_bytes(path, what), f"{what} {str(path)!r}")


def as_text(content: bytes, where: str) -> str:
    """Bytes as the UTF-8 text that they are. Raises: ``InputError`` that says at which line they are none."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{where} is not UTF-8 text: byte {content[error.start]:#04x} in line {line}; save it as UTF-8"
        ) from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise InputError(f"{where} is not text: line {line} holds a zero byte")
    return text


def read_json(path: str | os.PathLike[str], what: str = "file") -> Any:
    """The value that a JSON file holds. Raises: as ``read_text`` and ``json_value``."""
    return json_value(read_bytes(path, what), f"{what} {str(path)!r}")


def json_value(content: str | bytes, where: str) -> Any:
    """JSON as the standard has it: no NaN, no name twice in an object, no nesting without end.

    Raises: ``InputError`` for anything else, saying where it stands.
    """
    text = as_text(content, where) if isinstance(content, bytes) else content
    try:
        return json.loads(text, parse_constant=_no_number, object_pairs_hook=_each_name_once)
    except RecursionError:
        raise InputError(f"{where} is not JSON that can be read: its brackets are nested too deep") from None
    except ValueError as error:
        raise InputError(f"{where} is not JSON: {_short(error)}") from error


def read_yaml(path: str | os.PathLike[str], what: str = "file") -> Any:
    """The value that a YAML file holds, of plain types. Raises: as ``read_text``; ``InputError`` where it is not YAML,

    names an option twice, or stands for more values than can be meant (an alias of aliases of aliases).
    """
    import yaml

    where = f"{what} {str(path)!r}"
    content = read_bytes(path, what)
    try:
        loader = yaml.SafeLoader(as_text(content, where))
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            if _size(node, {}) > MOST_NODES:
                raise InputError(f"its aliases stand for more than {MOST_NODES:,} values")
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except RecursionError:
        raise InputError(f"{where} is not YAML that can be read: it is nested too deep") from None
    except InputError as error:
        raise InputError(f"{where} is not YAML: {str(error).removeprefix(where).removeprefix(' is ')}") from error
    except (yaml.YAMLError, ValueError, OverflowError, TypeError) as error:
        raise InputError(f"{where} is not YAML: {_short(error)}") from error


def _size(node: yaml.Node, known: dict[int, int]) -> int:
    """How many values a node stands for. Raises: ``InputError`` for one that holds itself, or a name twice."""
    import yaml

    if id(node) in known:
        if known[id(node)] == 0:
            raise InputError("an alias stands for what it is a part of")
        return known[id(node)]
    known[id(node)] = 0
    inside: list[yaml.Node] = []
    if isinstance(node, yaml.MappingNode):
        names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        twice = next((name for name in names if names.count(name) > 1 and name != "<<"), None)
        if twice is not None:
            raise InputError(f"{twice!r} stands in it twice")
        inside = [part for pair in node.value for part in pair]
    elif isinstance(node, yaml.SequenceNode):
        inside = list(node.value)
    known[id(node)] = 1 + sum(_size(part, known) for part in inside)
    return known[id(node)]


def _each_name_once(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"{name!r} stands twice in one object")
        found[name] = value
    return found


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is not a number that JSON has")


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


def _kind(path: str | bytes) -> str:
    """What a path that cannot be opened is; empty for a regular file or nothing."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return ""
    return next((name for test, name in _KINDS if test(mode)), "")


def _not_regular(path: str | os.PathLike[str], what: str, kind: str) -> InputError:
    return InputError(f"{what} {str(path)!r} is {kind}: a regular file is needed")
