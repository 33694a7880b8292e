"""Fetched files, held while they are read: one that is held is not evicted."""

from __future__ import annotations

import contextlib
import os
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dynvit.cache import cache_dir, kept, place_for
from dynvit.data.space import FETCHING, READING, Space, let_go, used_now, waited_for
from dynvit.errors import InputError, os_fault
from dynvit.files import FileLock, atomic

_FOLDER = "shards"


class Held:
    """A local file, open as ``handle``: what was opened stays readable, whoever removes its name."""

    def __init__(self, path: Path, lock: FileLock | None = None) -> None:
        """Raises: ``OSError`` where it cannot be opened."""
        self.path = path
        self.handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._release = weakref.finalize(self, _release, self.handle, path, lock)

    def close(self) -> None:
        """Let go of it."""
        self._release()

    def __enter__(self) -> Held:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _release(handle: int, path: Path, lock: FileLock | None) -> None:
    with contextlib.suppress(OSError):
        os.close(handle)
    if lock is not None:
        lock.close()
        with contextlib.suppress(OSError, InputError):
            let_go(path.parent.parent)


def _closed(lock: FileLock | None) -> None:
    if lock is not None:
        lock.close()


@dataclass(frozen=True)
class Place:
    """Where a fetched file is kept: ``name`` in a folder of its own, called ``key``."""

    key: str
    name: str

    def held(self, fetch: Callable[[Path, Space], object], whole: Callable[[Path], bool], *, ahead: bool) -> Held:
        """The file, held; fetched where it is not there or not ``whole``. Others who want it wait for who fetches it.

        Args:
            fetch: writes the file to a temporary path, asking the space as it grows.
            whole: whether a file is what it must be.
            ahead: whether it is fetched before it is asked for.

        Returns: the file.
        Raises: ``InputError`` as ``fetch`` does, and where nothing can be kept. ``NoSpaceError`` only ``ahead``.
        """
        try:
            if (found := self._there(whole)) is not None:
                return found
            place_for(_FOLDER, self.key, self.name)
            return self._fetched(fetch, whole, ahead=ahead)
        except OSError as error:
            raise InputError(f"{self.name} cannot be kept: {os_fault(error)}") from error

    def _there(self, whole: Callable[[Path], bool]) -> Held | None:
        path = kept(_FOLDER, self.key, self.name)
        if path is None:
            return None
        reading = _shared(path.parent)
        with contextlib.suppress(OSError):
            if whole(path):
                held = Held(path, reading)
                if reading is not None:
                    used_now(path.parent, reading)
                return held
        _closed(reading)
        return None

    def _fetched(self, fetch: Callable[[Path, Space], object], whole: Callable[[Path], bool], *, ahead: bool) -> Held:
        from dynvit.downloads import patience

        path = cache_dir() / _FOLDER / self.key / self.name
        fetching = waited_for(path.parent / FETCHING, patience(), grows=path.parent)
        with contextlib.ExitStack() as done, contextlib.ExitStack() as undone:
            done.callback(_closed, fetching)
            if (found := self._there(whole)) is not None:
                return found  # by who had the lock
            if fetching is not None and fetching.holds:
                with contextlib.suppress(OSError):
                    os.ftruncate(fetching.handle, 0)  # what a fetch before promised, and what a kill left of it
                for partial in path.parent.glob(".*.tmp"):
                    partial.unlink(missing_ok=True)
            undone.callback(_nothing_left, path.parent, fetching)
            with atomic(path) as temporary:
                fetch(temporary, Space(path.parent, self.name, fetching, ahead=ahead))
                undone.callback(_closed, reading := _shared(path.parent))  # before it has its name: nobody evicts it
            held = Held(path, reading)
            undone.pop_all()
            if reading is not None:
                used_now(path.parent, reading)
            return held


def _nothing_left(folder: Path, fetching: FileLock | None) -> None:
    """After a fetch that failed."""
    with contextlib.suppress(OSError):
        if fetching is not None:
            fetching.remove()
        folder.rmdir()  # where nothing else is in it


def _shared(folder: Path) -> FileLock | None:
    return waited_for(folder / READING, 5.0, shared=True)
