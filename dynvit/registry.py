"""Names to things: methods, datasets and attacks, in tree or from any installed package.

Importing this loads nothing heavy; a registered thing is imported when it is asked for.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Generic, TypeVar

from dynvit.errors import InputError, unknown
from dynvit.plugin_faults import PLUGIN_MODULE, import_fault
from dynvit.reading import check_regular, read_bytes
from dynvit.version import __version__

T = TypeVar("T")
_FILE_VERSION = "sha256-"


@dataclass(frozen=True)
class Origin:
    """Where a registered name comes from.

    ``distribution`` and ``version`` are the installed package's; for a one-file plug-in they are the file and
    the start of its SHA-256.
    """

    target: str
    distribution: str = ""
    version: str = ""

    @property
    def file_version(self) -> str | None:
        """The version of a one-file plug-in, which every edit changes; None for an installed package."""
        return self.version if self.version.startswith(_FILE_VERSION) else None

    def __str__(self) -> str:
        package = f"{self.distribution} {self.version}".strip()
        return f"{package} ({self.target})" if package else self.target


@dataclass(frozen=True)
class _Entry(Generic[T]):
    origin: Origin
    load: Callable[[], T]


class Registry(Generic[T]):
    """Things of one kind by name, found in entry points of ``group`` and by ``register``.

    A name taken twice is an error that names both, raised when that name is asked for; a plug-in that does
    not import is named in a warning and stops nobody else. ``DYNVIT_DISABLE_PLUGINS=1`` leaves out every
    distribution but ``dynvit``.

    >>> colours = Registry[int]("colour", "example.colours")
    >>> colours.register("red")(0xFF0000)
    16711680
    >>> colours.get("red"), colours.names()
    (16711680, ['red'])
    """

    def __init__(self, kind: str, group: str) -> None:
        self.kind, self.group = kind, group
        self._registered: dict[str, list[_Entry[T]]] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """A decorator that registers what it decorates under ``name``."""

        def add(thing: T) -> T:
            # An instance says only where its class is from; who registers it is the module that calls.
            named = hasattr(thing, "__qualname__")
            module = getattr(thing, "__module__", "") if named else sys._getframe(1).f_globals.get("__name__", "")
            target = f"{module}:{getattr(thing, '__qualname__', name)}"
            entries = self._registered.setdefault(name, [])
            # A module that is loaded again (a plug-in file named twice) replaces itself.
            entries[:] = [e for e in entries if e.origin.target != target]
            entries.append(_Entry(_registrant(target, module), lambda: thing))
            return thing

        return add

    def names(self) -> list[str]:
        """Every name there is, sorted; nothing is imported."""
        return sorted(self._entries())

    def origins(self, name: str) -> list[Origin]:
        """Where ``name`` comes from: one origin, or several where it is taken twice."""
        return [entry.origin for entry in self._entries().get(name, [])]

    def file_version(self, name: str) -> str | None:
        """The version of the one-file plug-in that registered ``name``; None for a package, or where there is none."""
        return next((origin.file_version for origin in self.origins(name)), None)

    def get(self, name: str) -> T:
        """The thing called ``name``, imported now.

        Raises: ``InputError`` for an unknown name (with the nearest), one taken twice, or one whose
        plug-in does not import.
        """
        return self._load(name, self._entries())

    def _load(self, name: str, entries: Mapping[str, list[_Entry[T]]]) -> T:
        if name not in entries:
            raise unknown(self.kind, name, entries)
        found = entries[name]
        try:
            things = [entry.load() for entry in found]
        except InputError:
            raise
        except (Exception, SystemExit) as error:  # a script that was not meant to be imported ends the program
            where = " and ".join(str(entry.origin) for entry in found)
            raise InputError(f"{self.kind} {name!r} from {where} does not import: {import_fault(error)}") from error
        # A package may both decorate a class and name it as an entry point, by another path: that is one thing.
        if any(thing is not things[0] for thing in things):
            both = " and ".join(str(entry.origin) for entry in found)
            raise InputError(f"{self.kind} {name!r} is registered twice, by {both}: uninstall or rename one")
        return things[0]

    def load_all(self) -> dict[str, T]:
        """Everything that imports, by name; what does not is named in a warning."""
        loaded, entries = {}, self._entries()
        for name in sorted(entries):
            try:
                loaded[name] = self._load(name, entries)
            except InputError as error:
                warnings.warn(str(error), stacklevel=2)
        return loaded

    def _entries(self) -> dict[str, list[_Entry[T]]]:
        found: dict[str, list[_Entry[T]]] = {}
        for point in entry_points(group=self.group):
            origin = _origin(point)
            if os.environ.get("DYNVIT_DISABLE_PLUGINS") == "1" and origin.distribution != "dynvit":
                continue
            known = found.setdefault(point.name, [])
            if all(entry.origin.target != origin.target for entry in known):
                known.append(_Entry(origin, point.load))
        for name, entries in self._registered.items():
            known = found.setdefault(name, [])
            targets = {entry.origin.target for entry in known}
            known.extend(entry for entry in entries if entry.origin.target not in targets)
        return found


def _origin(point: EntryPoint) -> Origin:
    dist = point.dist
    return Origin(point.value, dist.name if dist else "", dist.version if dist else "")


def _registrant(target: str, module: str) -> Origin:
    """Who registers: our own package, or a file that is no installed package's."""
    if module.partition(".")[0] == "dynvit":
        return Origin(target, "dynvit", __version__)
    file = getattr(sys.modules.get(module), "__file__", None)
    return Origin(target, file or "", file_version(file) if file else "")


def plugin_files() -> tuple[str, ...]:
    """The one-file plug-ins that were loaded: a process that is spawned must load them too."""
    loaded = (vars(module).get("__file__") for name, module in sys.modules.items() if name.startswith(PLUGIN_MODULE))
    return tuple(sorted(file for file in loaded if file))


def load_plugins(files: Iterable[str]) -> None:
    """Load each. Raises: as ``load_plugin``."""
    for file in files:
        load_plugin(file)


def file_version(file: str | os.PathLike[str]) -> str:
    """What stands for the version of a one-file plug-in: the start of its SHA-256, which every edit changes."""
    digest = hashlib.sha256(read_bytes(file, "plug-in")).hexdigest()
    return f"{_FILE_VERSION}{digest[:12]}"


def load_plugin(path: str | os.PathLike[str]) -> None:
    """Import one file whose decorators register things: ``--plugin file.py``.

    Raises: ``InputError`` where there is no such file, or where it does not import.
    """
    file = Path(os.path.realpath(path))  # resolve() fails on a link in a circle
    if not file.exists():
        raise InputError(f"no plug-in file {str(path)!r}: --plugin takes the path of one Python file")
    check_regular(path, "plug-in")
    name = f"{PLUGIN_MODULE}{file.stem}"
    while getattr(sys.modules.get(name), "__file__", str(file)) != str(file):
        name += "_"  # two files of one name are two plug-ins
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise InputError(f"plug-in {str(path)!r} is not a Python file: --plugin takes a .py file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        # Compiled here: Python's cache of compiled files takes one that was edited within a second for unchanged.
        exec(compile(read_bytes(file, "plug-in"), str(file), "exec"), module.__dict__)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise InputError(f"plug-in {str(path)!r} does not import: {import_fault(error, str(file))}") from error
