"""Whose fault an exception is: a plug-in's is said by the plug-in's name, file and line."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path
from traceback import walk_tb
from types import CodeType
from typing import Any

from dynvit.errors import InputError

PLUGIN_MODULE = "dynvit_plugin_"
"""What the module of a one-file plug-in is called, before its own name."""


class PluginError(InputError):
    """A plug-in failed: its name, its own last line, and what it raised, in one line."""


@dataclass(frozen=True)
class _Place:
    """Where in a plug-in something happened. ``plugin`` is the file's name, or the package's."""

    plugin: str
    file: str
    line: int
    function: str

    def __str__(self) -> str:
        return f"plug-in {self.plugin!r}, {self.file}:{self.line} in {self.function}"


@contextmanager
def plugin_faults() -> Iterator[None]:
    """A plug-in's exception in the block, or its ``sys.exit``, becomes a ``PluginError``; all else is as it was."""
    try:
        yield
    except (InputError, KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:
        fault = plugin_fault(error)
        if fault is None:
            raise
        raise fault from error


def plugin_fault(error: BaseException) -> PluginError | None:
    """The exception as its plug-in's fault; None where no plug-in ran when it was raised."""
    if _last_place(error) is None:
        return None
    return PluginError(f"{described(error)}; what was finished is kept, --debug shows the traceback")


def import_fault(error: BaseException, file: str = "") -> str:
    """Why something does not import: the line of ``file``, else the last line outside Python's own modules."""
    frames = [(frame.f_code.co_filename, line) for frame, line in walk_tb(error.__traceback__)]
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}: {said(error)}"
    at = [one for one in frames if (one[0] == file if file else "importlib" not in one[0] and "/dynvit/" not in one[0])]
    return f"{at[-1][0]}:{at[-1][1]}: {said(error)}" if at else said(error)


def described(error: BaseException) -> str:
    """An exception in one line, after the plug-in's name and last line, or before the last line of all."""
    place = _last_place(error)
    if place is not None:
        return f"{place}: {said(error)}"
    frames = [(frame.f_code, line) for frame, line in walk_tb(error.__traceback__)]
    return f"{said(error)} ({_path(frames[-1][0])}:{frames[-1][1]})" if frames else said(error)


def said(error: BaseException) -> str:
    r"""An exception in one line, whatever it holds.

    >>> said(ValueError("two\nlines")), said(SystemExit(0))
    ('ValueError: two lines', 'it ended the program by sys.exit(0)')
    """
    if isinstance(error, SystemExit):
        return f"it ended the program by sys.exit({'' if error.code is None else repr(error.code)})"
    try:
        text = " ".join(str(error).split())
    except Exception:  # a plug-in's own exception may fail in telling what it is
        text = ""
    short = text if len(text) <= 300 else f"{text[:300]}…"
    return f"{type(error).__name__}{': ' if short else ''}{short}"


def _last_place(error: BaseException) -> _Place | None:
    """The plug-in's own last frame."""
    packages = _packages()
    found = None
    for frame, line in walk_tb(error.__traceback__):
        name = str(frame.f_globals.get("__name__", ""))
        plugin = _plugin_of(name, frame.f_code.co_filename, packages)
        if plugin is not None:
            found = _Place(plugin, _path(frame.f_code), line, frame.f_code.co_name)
    return found or _in_another_process(error)


def _in_another_process(error: BaseException) -> _Place | None:
    """A process of a pool sends its traceback as text."""
    text = str(getattr(error.__cause__, "tb", ""))
    found = None
    for file, line, function in re.findall(r'File "([^"]+)", line (\d+), in (\S+)', text):
        if file in _files().values():
            found = _Place(Path(file).name, file, int(line), function)
    return found


def _plugin_of(module: str, file: str, packages: dict[str, str]) -> str | None:
    if module.startswith(PLUGIN_MODULE):
        return Path(file).name
    return packages.get(module.partition(".")[0])


def _packages() -> dict[str, str]:
    """The installed plug-ins: by the package that is imported, the distribution that it comes from."""
    return {
        point.module.partition(".")[0]: dist.name
        for dist in distributions()
        for point in dist.entry_points
        if point.group.startswith("dynvit.") and dist.name != "dynvit"
    }


def _files() -> dict[str, str]:
    """The one-file plug-ins that are loaded, by module."""
    modules: dict[str, Any] = {name: module for name, module in sys.modules.items() if name.startswith(PLUGIN_MODULE)}
    return {name: str(module.__file__) for name, module in modules.items() if getattr(module, "__file__", None)}


def _path(code: CodeType) -> str:
    """A file as it is found from here."""
    path = Path(code.co_filename)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
