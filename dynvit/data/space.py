"""Space for what is fetched: a limit for shards, a reserve of the disk, and who goes first."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from dynvit.cache import RESERVE, free_bytes, gigabytes, limit
from dynvit.errors import InputError
from dynvit.files import FileLock, HeldError

READING, FETCHING, TURN = ".reading", ".fetching", ".turn"
"""In a file's folder: shared by those who read it, or of who evicts it; of who fetches it, who writes there how large
it will be. In the folder of all: of who makes space, or looks when something was used last."""

_PAUSE_S, _SHARE = 0.02, 8


class NoSpaceError(InputError):
    """There will be space when what is read now is done with."""


@dataclass(frozen=True)
class _Kept:
    """A fetched file, whole or on its way. Units: bytes; ``used`` orders, and is a time where the clock was right."""

    folder: Path
    path: Path | None
    size: int
    used: int


class Space:
    """What may be written of one file, asked as it grows: others go as far as they must, least recently used first.

    Shards that somebody reads stay. Where they leave no space within the limit, a file that is fetched ahead is given
    up (``NoSpaceError``), and one that is asked for now exceeds it: two readers could wait for each other.

    Without a limit nothing goes but for the reserve of the disk.
    """

    def __init__(self, folder: Path, name: str, lock: FileLock | None, *, ahead: bool) -> None:
        self._folder, self._name, self._lock, self._ahead = folder, name, lock, ahead
        self._reserved = 0

    def __call__(self, size: int) -> None:
        """Space for ``size`` bytes in all, the file's own included.

        Raises: ``InputError`` for a file above the limit, and where the disk's reserve would be touched.
        """
        if size <= self._reserved:
            return
        most = limit() if _is_shard(self._name) else None
        if most is not None and size > most:
            raise InputError(
                f"{self._name} takes {gigabytes(size)} or more, and DYNVIT_CACHE_GB allows {gigabytes(most)}: allow "
                "more"
            )
        # What grows without a known size asks for some more at once: each question looks at every file.
        wanted = max(size, min(size + self._reserved // _SHARE, most or size * 2)) if self._reserved else size
        with turn(self._folder.parent):
            self._make(wanted, most)
            if self._lock is not None:
                with contextlib.suppress(OSError):
                    os.pwrite(self._lock.handle, b"%20d" % wanted, 0)
        self._reserved = wanted

    def _make(self, wanted: int, most: int | None) -> None:
        there = sum(path.stat().st_size for path in self._folder.glob(".*.tmp"))
        lacks_disk = wanted - there + RESERVE - free_bytes(self._folder)
        if most is None and lacks_disk <= 0:
            return
        others = [kept for kept in _shards(self._folder.parent) if kept.folder != self._folder]
        taken = sum(kept.size for kept in others)
        lacks = max(lacks_disk, 0 if most is None else taken + wanted - most)
        freed = _evict(others, lacks)
        if lacks > freed and self._ahead:
            raise NoSpaceError(f"no space for {self._name} while others are read")
        if lacks_disk > freed:
            raise InputError(
                f"{self._name} cannot be kept in {self._folder.parent}: {RESERVE >> 20} MiB must be left on its disk; "
                "free some, or set DYNVIT_CACHE to a folder on another"
            )


def _is_shard(name: str) -> bool:
    return name.endswith(".tar")


def _shards(folder: Path) -> Iterator[_Kept]:
    """Shards in the folder of fetched files, also on their way; what a killed fetch left of a file is removed."""
    for entry in os.scandir(folder):
        if entry.is_dir():
            with contextlib.suppress(FileNotFoundError):
                yield from _in(Path(entry.path))


def _in(folder: Path) -> Iterator[_Kept]:
    # First what is on its way: listed together, one that is finished meanwhile would be neither.
    for path in list(folder.glob(".*.tmp")):
        yield from _coming(folder, path)
    for path in list(folder.iterdir()):
        if _is_shard(path.name):
            stat = path.stat()
            used = folder / READING
            yield _Kept(folder, path, stat.st_size, used.stat().st_mtime_ns if used.exists() else stat.st_mtime_ns)


def _coming(folder: Path, partial: Path) -> Iterator[_Kept]:
    try:
        with FileLock(folder / FETCHING) as lock:
            if lock.holds:
                partial.unlink(missing_ok=True)
                return
    except HeldError:
        with contextlib.suppress(ValueError):
            promised = int((folder / FETCHING).read_bytes() or b"0")
            yield _Kept(folder, None, max(promised, partial.stat().st_size), 0)
            return
    yield _Kept(folder, None, partial.stat().st_size, 0)


def _evict(shards: Iterable[_Kept], lacks: int) -> int:
    """Remove shards that nobody reads, least recently used first, as long as bytes lack; returns what was freed."""
    freed = 0
    for kept in sorted(shards, key=lambda kept: kept.used):
        if freed >= lacks:
            break
        if kept.path is not None and _evicted(kept):
            freed += kept.size
    return freed


def _evicted(kept: _Kept) -> bool:
    assert kept.path is not None
    try:
        with FileLock(kept.folder / READING):
            kept.path.unlink(missing_ok=True)
            return True
    except (HeldError, OSError):
        return False


def used_now(folder: Path, lock: FileLock) -> None:
    """Mark what lies in ``folder`` as the last that was used: later than all others, whatever the clock says.

    What is above the limit, since it was lowered or since others were read, goes now.
    """
    with turn(folder.parent) as mine, contextlib.suppress(OSError):
        if mine is not None:
            now = max(time.time_ns(), os.fstat(mine.handle).st_mtime_ns + 1)
            os.utime(mine.handle, ns=(now, now))
            os.utime(lock.handle, ns=(now, now))
        _lower(folder.parent, but=folder)


def let_go(folder: Path) -> None:
    """What a reader kept above the limit goes when it is done: it may be the last to look.

    Within the limit nobody's turn is waited for. Raises: ``OSError`` where the folder cannot be read.
    """
    most = limit()
    if most is not None and sum(kept.size for kept in _shards(folder)) > most:
        with turn(folder):
            _lower(folder)


def _lower(folder: Path, but: Path | None = None) -> None:
    if (most := limit()) is not None:
        shards = list(_shards(folder))
        _evict((kept for kept in shards if kept.folder != but), sum(kept.size for kept in shards) - most)


@contextlib.contextmanager
def turn(folder: Path, patience_s: float = 5.0) -> Iterator[FileLock | None]:
    """One at a time makes space in ``folder``; None where that cannot be known, or who has it does not go on."""
    lock = waited_for(folder / TURN, patience_s)
    try:
        yield lock
    finally:
        if lock is not None:
            lock.close()


def waited_for(path: Path, patience_s: float, *, shared: bool = False, grows: Path | None = None) -> FileLock | None:
    """A lock, waited for; None where there is none to have.

    Args:
        path: the file that is locked.
        patience_s: seconds without a change of ``grows`` after which who has it is taken to be stuck.
        shared: whether others may have it too.
        grows: a folder whose temporary files grow where who has the lock goes on.

    Returns: the lock, or None.
    """
    since, seen = time.monotonic(), -1
    while True:
        try:
            return FileLock(path, shared=shared)
        except HeldError:
            found = 0
            with contextlib.suppress(OSError):
                found = sum(part.stat().st_size for part in grows.glob(".*.tmp")) if grows is not None else 0
            now = time.monotonic()
            if found != seen:
                since, seen = now, found
            elif now - since > patience_s:
                return None
            time.sleep(_PAUSE_S)
        except OSError:
            return None
