"""Fetches a file: asked for again where that may help, its rest where that is enough, whole in the end or not there."""

from __future__ import annotations

import functools
import hashlib
import http.client
import math
import os
import time
import urllib.error
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from dynvit.downloads.answer import Answer, FetchError, Partial, host_of
from dynvit.downloads.checks import Check
from dynvit.downloads.command import from_command, has_command
from dynvit.downloads.file_system import from_file_system
from dynvit.downloads.web import from_web
from dynvit.errors import InputError
from dynvit.progress import Progress

T = TypeVar("T")
Space = Callable[[int], None]
"""Makes space for a file of so many bytes, or of so many so far. Raises: ``InputError`` where there is none."""

SECONDS = 30.0
SLOWEST = 256
"""A fetch is given up after so many seconds without a byte, or with fewer than so many bytes a second."""
TRIES = 3
PAUSE = 1.0
"""A server that breaks off or is overloaded is asked again, after a pause that doubles. Units: seconds."""

_MEBIBYTE = 1 << 20
_AGAIN = {416, 429, 500, 502, 503, 504}  # overloaded; and a rest that is not there: the file is another by now


def _as_large_as_it_is(_size: int) -> None:
    """Space that has no limit but the disk's."""


def download(
    url: str,
    into: Path,
    *,
    name: str,
    check: Check,
    advice: str,
    sha256: str = "",
    space: Space = _as_large_as_it_is,
) -> str:
    """Fetch ``url`` into the file ``into``, which the caller renames.

    Args:
        url: ``http:``, ``https:``, ``pipe:`` and a command, or any protocol that fsspec knows: ``s3:``, ``gs:``, …
        into: a temporary file; what is in it after an error is of no use.
        name: what is fetched, for progress and errors.
        check: looks at the whole file.
        advice: ends the error: what to do.
        sha256: what the file is listed with, in hexadecimal; empty where no list has it.
        space: is asked before bytes are written.

    Returns: the SHA-256 of what came, in hexadecimal.
    Raises: ``InputError`` naming the host, where it does not answer, stalls, breaks off, or answers something else.
    """
    seconds, partial, tried = patience(), Partial(), 0
    while True:
        tried, before = tried + 1, partial.done
        try:
            with _opened(url, seconds, partial) as answer:
                digest = _write(answer, into, name, seconds, partial, space)
            _hold_to(answer, into.stat().st_size, digest, sha256)
            check(into)
            return digest
        except FetchError as error:
            if not error.again or tried == TRIES:
                raise InputError(f"cannot fetch {name} from {host_of(url)} ({error}): {advice}") from error
            time.sleep(PAUSE * 2 ** (tried - 1))
            if not error.broke_off or not partial.version or partial.done <= before:
                partial = Partial()  # from the beginning
            elif before:
                tried = 1  # the rest comes, bit by bit: only tries that bring nothing are counted
        except ValueError as error:
            raise InputError(f"cannot fetch {name}: what {host_of(url)} answers {error}: {advice}") from error


def patience() -> float:
    """Seconds to wait for a byte. Raises: ``InputError`` where ``$DYNVIT_FETCH_SECONDS`` is no time."""
    text = os.environ.get("DYNVIT_FETCH_SECONDS") or str(SECONDS)
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise InputError(f"DYNVIT_FETCH_SECONDS must be a number of seconds above 0, got {text!r}")
    return seconds


def _write(answer: Answer, into: Path, name: str, seconds: float, partial: Partial, space: Space) -> str:
    digest, done, shown = hashlib.sha256(), answer.start, 0
    since, then = time.monotonic(), done
    partial.done, partial.version = done, answer.version
    space(max(answer.size or 0, done))
    with (
        _on_disk(into, lambda: into.open("r+b" if done else "wb")) as out,
        Progress(f"fetching {name}", -(-(answer.size or 0) // _MEBIBYTE), unit="MiB") as progress,
    ):
        out.truncate(done)
        while known := out.read(_MEBIBYTE) if done else b"":
            digest.update(known)
        for chunk in answer.chunks:
            space(max(answer.size or 0, done + len(chunk)))
            _on_disk(into, functools.partial(out.write, chunk))
            digest.update(chunk)
            done += len(chunk)
            partial.done = done
            if answer.size is not None and done > answer.size:
                break
            progress.advance(done // _MEBIBYTE - shown)
            shown, now = done // _MEBIBYTE, time.monotonic()
            if now - since >= seconds:
                if done - then < SLOWEST * (now - since):
                    raise FetchError(f"it stalled: {done - then} bytes in {now - since:.0f} s", again=False)
                since, then = now, done
        _on_disk(into, out.flush)
    return digest.hexdigest()


def _hold_to(answer: Answer, done: int, digest: str, listed: str) -> None:
    """Hold what came to what was promised."""
    if answer.size is not None and done != answer.size:
        short = done < answer.size
        said = f"broke off after {done} of {answer.size}" if short else f"gave {done} and promised {answer.size}"
        raise FetchError(f"it {said} bytes", again=True, broke_off=short)
    if done == 0:
        raise FetchError("the download is empty", again=False)
    if answer.sha256 not in (None, digest):
        raise FetchError("its SHA-256 is not the one that the server names", again=True)
    if listed not in ("", digest):
        raise FetchError("its SHA-256 is not the one that it is listed with", again=True)


def _on_disk(into: Path, do: Callable[[], T]) -> T:
    """A disk that is full, or gone, is no fault of the server."""
    try:
        return do()
    except OSError as error:
        raise InputError(f"cannot write in {into.parent}: {error.strerror or error}") from error


@contextmanager
def _opened(url: str, seconds: float, partial: Partial) -> Iterator[Answer]:
    scheme = url.partition(":")[0]
    if scheme in ("file", "local"):
        raise FetchError("a file of this machine is given by its path, only what is elsewhere is fetched", again=False)
    if scheme in ("http", "https"):
        opened = from_web(url, seconds, partial)
    elif has_command(url):
        opened = from_command(url, seconds)
    else:
        opened = from_file_system(url, seconds, partial)
    try:
        with opened as answer:
            yield answer
    except urllib.error.HTTPError as error:
        raise FetchError(f"HTTP {error.code}, {error.reason}", again=error.code in _AGAIN) from error
    except (TimeoutError, urllib.error.URLError, http.client.HTTPException, OSError) as error:
        reason: Any = getattr(error, "reason", None) or error
        if isinstance(reason, TimeoutError):
            said = f"no answer for {seconds:g} s; DYNVIT_FETCH_SECONDS sets how long to wait"
            raise FetchError(said, again=False) from error
        broken_off = isinstance(reason, ConnectionResetError | http.client.IncompleteRead)
        said = str(reason) or type(reason).__name__
        raise FetchError(said, again=broken_off, broke_off=broken_off) from error
