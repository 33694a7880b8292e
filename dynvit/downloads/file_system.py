"""Files of any storage that fsspec knows: ``s3:``, ``gs:``, ``az:``, ``sftp:`` and others."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from queue import Empty, Full, Queue
from typing import Any

from dynvit.downloads.answer import CHUNK, Answer, FetchError, Partial

_AHEAD = 16  # chunks that are read before they are asked for
_VERSIONS = ("etag", "checksum", "generation", "version_id", "md5hash", "md5", "content_md5")
_TIMES = ("last_modified", "lastmodified", "last-modified", "mtime", "modified", "updated", "created")
_FOR_GOOD = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError, NotImplementedError)


@contextmanager
def from_file_system(url: str, seconds: float, partial: Partial) -> Iterator[Answer]:
    """The file at ``url``; its rest only where the storage says that it is the version that came so far.

    Storages have time limits of their own, or none: a thread waits for them, and this waits ``seconds`` for the thread.

    Raises: ``FetchError`` for a protocol that nobody knows, a package that is not installed, a file that is not there
    or may not be read, and a storage that breaks off. ``TimeoutError`` where it gives nothing.
    """
    reader = _Reader(url, seconds, partial)
    try:
        yield reader.answer()
    finally:
        reader.given_up.set()


class _Reader:
    """Reads a file in a thread: what the storage says of it, then its bytes, then nothing or an error."""

    def __init__(self, url: str, seconds: float, partial: Partial) -> None:
        self._url, self._seconds, self._partial = url, seconds, partial
        self._parts: Queue[Answer | bytes | BaseException] = Queue(_AHEAD)
        self.given_up = threading.Event()
        threading.Thread(target=self._read, name=f"reading {url}", daemon=True).start()

    def answer(self) -> Answer:
        """What is known of the file, with its bytes."""
        found = self._next()
        assert isinstance(found, Answer)
        return found

    def _next(self) -> Answer | bytes:
        try:
            part = self._parts.get(timeout=self._seconds)
        except Empty:
            raise TimeoutError from None
        if isinstance(part, BaseException):
            raise _as_fetch_error(part) from part
        return part

    def _chunks(self) -> Iterator[bytes]:
        while chunk := self._next():
            assert isinstance(chunk, bytes)
            yield chunk

    def _read(self) -> None:
        try:
            import fsspec

            system, path = fsspec.url_to_fs(self._url)
            told: Mapping[str, Any] = system.info(path)
            if told.get("type") == "directory":
                raise IsADirectoryError("it is a folder, not a file")
            size, version = told.get("size"), _version(told)
            start = self._partial.done if version and version == self._partial.version else 0
            size = size if isinstance(size, int) else None
            self._put(Answer(self._chunks(), size, None, start, version))
            with system.open(path, "rb") as file:
                file.seek(start)
                while chunk := file.read(CHUNK):
                    if not self._put(bytes(chunk)):
                        return
            self._put(b"")
        except BaseException as error:  # whatever a storage's package raises; it is raised again where it is waited for
            self._put(error)

    def _put(self, part: Answer | bytes | BaseException) -> bool:
        """Whether it is still wanted."""
        while not self.given_up.is_set():
            try:
                self._parts.put(part, timeout=0.1)
                return True
            except Full:
                continue
        return False


def _version(told: Mapping[str, Any]) -> str:
    """What tells this version of a file from others; empty where the storage gives nothing of the kind."""
    by_name = {name.lower(): value for name, value in told.items() if value}
    found = next((f"{name} {by_name[name]}" for name in (*_VERSIONS, *_TIMES) if name in by_name), "")
    return f"{found} of {told.get('size')} bytes" if found else ""


def _as_fetch_error(error: BaseException) -> FetchError | TimeoutError:
    if isinstance(error, TimeoutError):
        return error
    text = getattr(error, "strerror", None) or str(error)
    said = text.strip().splitlines()[0] if text.strip() else type(error).__name__
    if isinstance(error, FileNotFoundError):
        return FetchError("there is no such file", again=False)
    if isinstance(error, PermissionError):
        return FetchError(f"permission is denied: {said}", again=False)
    if isinstance(error, ImportError):  # fsspec says which package
        return FetchError(f"{said}: pip install it beside dynvit", again=False)
    passing = isinstance(error, OSError | EOFError) and not isinstance(error, _FOR_GOOD)
    return FetchError(said, again=passing, broke_off=passing)
