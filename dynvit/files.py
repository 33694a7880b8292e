"""Files that are whole or not there, and folders that one process writes at a time."""

from __future__ import annotations

import errno
import hashlib
import os
import socket
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from dynvit.errors import InputError

if sys.platform != "win32":
    import fcntl

LOCK = ".lock"
_BETWEEN_TRIES_S, _AT_MOST_S = 0.05, 1.0
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG, errno.EROFS)


class HeldError(InputError):
    """Another process writes there."""


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A temporary file beside ``path``, synced and renamed to it when the block ends well, removed when it does not.

    A reader, or a kill, meets the old file or the new one and nothing between. Folders that lack are made.
    Raises: ``OSError`` that names ``path`` where it cannot be written.
    """
    with named(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:64]}.", suffix=".tmp")
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            temporary.chmod(0o644)  # mkstemp keeps its files to one user; what we write is to be shared
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def write_whole(path: Path, content: bytes | memoryview) -> None:
    """Write ``content`` by ``atomic``."""
    with atomic(path) as temporary:
        temporary.write_bytes(content)


def write_together(contents: Mapping[Path, bytes]) -> None:
    """Write several files, in this order: a full disk is met before any of them is changed."""
    with ExitStack() as renamed:
        for path, content in reversed(list(contents.items())):  # the last that is entered is the first to be renamed
            renamed.enter_context(atomic(path)).write_bytes(content)


@contextmanager
def named(path: Path) -> Iterator[None]:
    """An ``OSError`` in the block names ``path``: a full disk is met in ``write``, which knows no name."""
    try:
        yield
    except OSError as error:
        # A temporary file's name says nothing to people either. Of another file the name stays.
        if str(error.filename or "").endswith(".tmp") or (error.filename is None and error.errno in _DISK):
            error.filename, error.filename2 = str(path), None
        raise


def lock(file: BinaryIO, path: Path, doing: str = "writing", holder: str = "another process") -> None:
    """Take ``file``, open at ``path``, for this process until it is closed; a kill lets go of it too.

    Raises: ``InputError`` where another process has it. Where the disk knows no locks there is a warning only: the
    lock is a courtesy, not a condition.
    """
    if sys.platform == "win32":  # no advisory locks of this kind: two writers are not noticed there
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise HeldError(f"{holder} is {doing} {path}: wait for it, or give another --output") from error
    except OSError:
        warnings.warn(
            f"{path} lies on a disk without locks: start no second run in this folder while one is running",
            stacklevel=3,
        )


@contextmanager
def locked(folder: Path, patience_s: float = 0, waits: Callable[[HeldError], object] | None = None) -> Iterator[None]:
    """The folder for this process alone, as long as the block runs: two that train or measure into it would mix.

    The file ``.lock`` in it says who has it, and goes when the block ends; one that a kill leaves locks nothing.
    ``patience_s``: seconds to wait for another process; ``waits`` is told once that there is one.
    Raises: ``InputError`` where another process has it, naming that process.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path, end, pause = folder / LOCK, time.monotonic() + patience_s, _BETWEEN_TRIES_S
    while True:
        try:
            file = _taken(path, folder)
            break
        except HeldError as error:
            if time.monotonic() > end:
                raise
            if waits is not None:
                waits(error)
                waits = None
            time.sleep(pause)
            pause = min(2 * pause, _AT_MOST_S)
    try:
        with named(path):
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}\n".encode())
            file.flush()
        yield
    finally:
        path.unlink(missing_ok=True)  # while it is ours: who waits for it finds that it has gone, and makes another
        with suppress(OSError):  # on a full disk the name is tried again, and was said to be unwritten
            file.close()


def is_held(folder: Path) -> bool:
    """Whether another process writes there now."""
    if not (folder / LOCK).exists():
        return False
    try:
        with locked(folder):
            return False
    except HeldError:
        return True


def _taken(path: Path, folder: Path) -> BinaryIO:
    while True:
        file = path.open("ab+")
        try:
            file.seek(0)
            holder = file.read(200).decode(errors="replace").strip()
            lock(file, folder, "writing", holder or "another process")
            if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        except BaseException:
            file.close()
            raise
        file.close()  # who had it has just removed it


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class FileLock:
    """A lock on a file, until it is closed; a kill lets go of it too. Shared by readers, or of one alone.

    Where the disk or the system knows no locks, it ``holds`` nothing: a lock is a courtesy, not a condition.
    """

    def __init__(self, path: Path, *, shared: bool = False) -> None:
        """Raises: ``HeldError`` where another has it; ``OSError`` where the file cannot be opened."""
        self._owner, self.holds, self.path = os.getpid(), False, path
        while True:
            try:
                self.handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            except PermissionError:
                self.handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)  # another user's
            try:
                if sys.platform != "win32":
                    fcntl.flock(self.handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
                    self.holds = True
            except BlockingIOError as error:
                os.close(self.handle)
                raise HeldError(f"{path} is held by another process") from error
            except OSError:
                return
            if not self.holds or self._is_at(path):
                return
            self.close()  # who had it has just removed it
            self.holds = False

    def _is_at(self, path: Path) -> bool:
        with suppress(OSError):
            return os.path.samestat(os.fstat(self.handle), path.stat())
        return False

    def remove(self) -> None:
        """Remove the file too, for one that locks nothing any more: who waits for it makes another."""
        if self.holds:
            self.path.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Let go of it. A process that was forked off closes its own handle alone."""
        if self.handle < 0:
            return
        with suppress(OSError):
            if sys.platform != "win32" and os.getpid() == self._owner:
                fcntl.flock(self.handle, fcntl.LOCK_UN)  # else a fork would go on holding it
        with suppress(OSError):
            os.close(self.handle)
        self.handle = -1

    def __enter__(self) -> FileLock:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
