"""Files from the network: whole and what was asked for, or not there. No server can make a fetch wait for ever."""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import http.client
import math
import os
import re
import select
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from dynvit.errors import InputError
from dynvit.progress import Progress

Check = Callable[[Path], None]
"""Looks at a file that came. Raises: ``ValueError`` with the reason where it is not what was asked for."""

SECONDS = 30.0
SLOWEST = 256
"""A fetch is given up after so many seconds without a byte, or with fewer than so many bytes a second."""
TRIES = 3
PAUSE = 1.0
"""A server that breaks off or is overloaded is asked again, after a pause that doubles. Units: seconds."""

_CHUNK, _MEBIBYTE = 1 << 16, 1 << 20
_PAGES = (b"<!doctype html", b"<html", b"<head", b"<body")
_AGAIN = {416, 429, 500, 502, 503, 504}  # overloaded; and a rest that is not there: the file is another by now


class _FetchError(Exception):
    """A fetch that failed; ``again`` says whether it is worth another try, ``broke_off`` whether the rest is enough."""

    def __init__(self, reason: str, *, again: bool, broke_off: bool = False) -> None:
        super().__init__(reason)
        self.again, self.broke_off = again, broke_off


@dataclass
class _Partial:
    """What came so far: ``done`` bytes of what the server calls ``version``, which must be known to add to them."""

    done: int = 0
    version: str = ""


@dataclass(frozen=True)
class _Answer:
    """What comes from byte ``start`` on: ``size`` in bytes and ``sha256`` are of the whole, where they are promised."""

    chunks: Iterator[bytes]
    size: int | None = None
    sha256: str | None = None
    start: int = 0
    version: str = ""


def download(url: str, into: Path, *, name: str, check: Check, advice: str) -> str:
    """Fetch ``url`` into the file ``into``, which the caller renames.

    Args:
        url: ``http:``, ``https:``, or what WebDataset opens by a command: ``pipe:``, ``s3:``, ``gs:`` and others.
        into: a temporary file; what is in it after an error is of no use.
        name: what is fetched, for progress and errors.
        check: looks at the whole file.
        advice: ends the error: what to do.

    Returns: the SHA-256 of what came, in hexadecimal.
    Raises: ``InputError`` naming the host, where it does not answer, stalls, breaks off, or answers something else.
    """
    seconds, partial, tried = _patience(), _Partial(), 0
    while True:
        tried, before = tried + 1, partial.done
        try:
            with _opened(url, seconds, partial) as answer:
                digest = _write(answer, into, name, seconds, partial)
            _held(answer, into.stat().st_size, digest)
            check(into)
            return digest
        except _FetchError as error:
            if not error.again or tried == TRIES:
                raise InputError(f"cannot fetch {name} from {_host(url)} ({error}): {advice}") from error
            time.sleep(PAUSE * 2 ** (tried - 1))
            if not error.broke_off or not partial.version or partial.done <= before:
                partial = _Partial()  # from the beginning
            elif before:
                tried = 1  # the rest comes, bit by bit: only tries that bring nothing are counted
        except ValueError as error:
            raise InputError(f"cannot fetch {name}: what {_host(url)} answers {error}: {advice}") from error


def no_web_page(path: Path) -> None:
    """Refuses a page for people: of a login, a virus scan, an error. A ``Check``."""
    with path.open("rb") as file:
        begin = file.read(512).removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if begin.startswith(_PAGES):
        raise ValueError("is a web page, not a file")


def from_hub(repo: str, file: str, *, check: Check, advice: str, **where: str | None) -> Path:
    """A file of the Hugging Face Hub, in the client's own cache; one there that fails the check is fetched again.

    Args:
        repo: ``OWNER/NAME``.
        file: its path in the repository.
        check: looks at the whole file.
        advice: ends the error: what to do.
        where: ``repo_type`` and ``revision``, as the client calls them.

    Raises: ``InputError`` where it cannot be fetched, or is not what was asked for.
    """
    import huggingface_hub as hub

    name = f"{file} of {repo}"
    if hub.constants.HF_HUB_CACHE.startswith("~"):
        raise InputError(f"cannot fetch {name}: this user has no home folder to keep it in: set HF_HOME to a folder")
    reason = ""
    # A cached file is taken as it is where it passes; what came just now is held to the hash that it is stored under.
    for again in ({}, {"force_download": True}):
        options: dict[str, Any] = {**where, **again}
        try:
            known = None if again else hub.try_to_load_from_cache(repo, file, **options)
            path = Path(hub.hf_hub_download(repo, file, **options))
        except Exception as error:  # the client's errors and those of the network libraries below it
            said = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise InputError(f"cannot fetch {name} from {hub.constants.ENDPOINT} ({said}): {advice}") from error
        try:
            check(path)
            if not isinstance(known, str):
                _as_stored(path)
            return path
        except (ValueError, InputError) as error:
            reason = str(error)
    raise InputError(f"cannot fetch {name}: what {hub.constants.ENDPOINT} answers {reason}: {advice}")


def _as_stored(path: Path) -> None:
    """Large files are stored under their SHA-256."""
    promised = path.resolve().name
    if re.fullmatch(r"[0-9a-f]{64}", promised):
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != promised:
                raise ValueError("has another SHA-256 than it is listed with")


def _patience() -> float:
    text = os.environ.get("DYNVIT_FETCH_SECONDS") or str(SECONDS)
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise InputError(f"DYNVIT_FETCH_SECONDS must be a number of seconds above 0, got {text!r}")
    return seconds


def _host(url: str) -> str:
    """The host, without a password that may stand before it; of a command its first word."""
    if url.startswith("pipe:"):
        return f"the command {url[5:].split()[0]!r}" if url[5:].split() else "an empty command"
    return urlsplit(url).netloc.rpartition("@")[2] or url


def _write(answer: _Answer, into: Path, name: str, seconds: float, partial: _Partial) -> str:
    digest, done, shown = hashlib.sha256(), answer.start, 0
    since, then = time.monotonic(), done
    partial.done, partial.version = done, answer.version
    with (
        into.open("r+b" if done else "wb") as out,
        Progress(f"fetching {name}", -(-(answer.size or 0) // _MEBIBYTE), unit="MiB") as progress,
    ):
        out.truncate(done)
        while known := out.read(_MEBIBYTE) if done else b"":
            digest.update(known)
        for chunk in answer.chunks:
            _keep(out.write, chunk, into)
            digest.update(chunk)
            done += len(chunk)
            partial.done = done
            progress.advance(done // _MEBIBYTE - shown)
            shown, now = done // _MEBIBYTE, time.monotonic()
            if now - since >= seconds:
                if done - then < SLOWEST * (now - since):
                    raise _FetchError(f"it stalled: {done - then} bytes in {now - since:.0f} s", again=False)
                since, then = now, done
        _keep(lambda _: out.flush(), b"", into)
    return digest.hexdigest()


def _held(answer: _Answer, done: int, digest: str) -> None:
    """Hold what came to what was promised."""
    if answer.size is not None and done != answer.size:
        short = done < answer.size
        raise _FetchError(f"it broke off after {done} of {answer.size} bytes", again=True, broke_off=short)
    if done == 0:
        raise _FetchError("the download is empty", again=False)
    if answer.sha256 not in (None, digest):
        raise _FetchError("its SHA-256 is not the one that the server names", again=True)


def _keep(write: Callable[[bytes], Any], chunk: bytes, into: Path) -> None:
    try:
        write(chunk)
    except OSError as error:
        raise InputError(f"cannot write in {into.parent}: {error.strerror or error}") from error


@contextmanager
def _opened(url: str, seconds: float, partial: _Partial) -> Iterator[_Answer]:
    scheme = url.partition(":")[0]
    if scheme == "file":
        raise _FetchError("a file of this machine is given by its path, only http and https are fetched", again=False)
    opened = _http(url, seconds, partial) if scheme in ("http", "https") else _command(url, seconds)
    try:
        with opened as answer:
            yield answer
    except urllib.error.HTTPError as error:
        raise _FetchError(f"HTTP {error.code}, {error.reason}", again=error.code in _AGAIN) from error
    except (TimeoutError, urllib.error.URLError, http.client.HTTPException, OSError) as error:
        reason: Any = getattr(error, "reason", None) or error
        if isinstance(reason, TimeoutError):
            said = f"no answer for {seconds:g} s; DYNVIT_FETCH_SECONDS sets how long to wait"
            raise _FetchError(said, again=False) from error
        broken_off = isinstance(reason, ConnectionResetError | http.client.IncompleteRead)
        said = str(reason) or type(reason).__name__
        raise _FetchError(said, again=broken_off, broke_off=broken_off) from error


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, and keeps what is promised on the way: the Hub names the hash before it redirects."""

    def __init__(self) -> None:
        self.promised: str | None = None

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        self.promised = _promised(headers) or self.promised
        return super().redirect_request(req, fp, code, msg, headers, newurl)


@contextmanager
def _http(url: str, seconds: float, partial: _Partial) -> Iterator[_Answer]:
    parts = urlsplit(url)
    request = urllib.request.Request(parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl())
    request.add_header("User-Agent", "dynvit")
    if parts.username is not None:
        given = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        # Not sent on to another host that the address redirects to.
        request.add_unredirected_header("Authorization", f"Basic {base64.b64encode(given).decode()}")
    if partial.done:
        request.add_header("Range", f"bytes={partial.done}-")
        request.add_header("If-Range", partial.version)  # else the whole of what is there now
    redirects = _Redirects()
    with urllib.request.build_opener(redirects).open(request, timeout=seconds) as answer:
        if answer.headers.get_content_type() in ("text/html", "application/xhtml+xml"):
            raise _FetchError(f"{_host(answer.geturl())} answers with a web page, not a file", again=False)
        length = answer.headers.get("Content-Length") or ""
        start, size = 0, int(length) if length.isdecimal() else None
        if answer.status == http.client.PARTIAL_CONTENT:
            start, size = _rest(answer.headers.get("Content-Range") or "", partial, size)
        chunks = iter(lambda: answer.read1(_CHUNK), b"")
        promised = _promised(answer.headers) or redirects.promised
        yield _Answer(chunks, size, promised, start, _version(answer.headers))


def _rest(said: str, partial: _Partial, length: int | None) -> tuple[int, int | None]:
    """Where the rest begins, and the size of the whole. Raises: ``_FetchError`` for another part than was asked for."""
    match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", said)
    if match is None or not partial.done or int(match[1]) != partial.done:
        raise _FetchError(f"it answers another part of the file than was asked for ({said or 'unsaid'})", again=True)
    whole = None if length is None else partial.done + length
    return partial.done, whole if match[2] == "*" else int(match[2])


def _version(headers: Mapping[str, str]) -> str:
    """What tells this version of the file from others; empty where the server gives nothing of the kind."""
    etag = headers.get("ETag") or ""
    return etag if etag.startswith('"') else headers.get("Last-Modified") or ""


def _promised(headers: Mapping[str, str]) -> str | None:
    """The SHA-256 of the content by ``Repr-Digest`` (RFC 9530) or by the Hub's own header."""
    linked = (headers.get("X-Linked-ETag") or "").strip('W/"')
    if re.fullmatch(r"[0-9a-f]{64}", linked):
        return linked
    if found := re.search(r"sha-256=:([A-Za-z0-9+/=]+):", headers.get("Repr-Digest") or "", re.IGNORECASE):
        with contextlib.suppress(binascii.Error):
            return base64.b64decode(found[1]).hex()
    return None


@contextmanager
def _command(url: str, seconds: float) -> Iterator[_Answer]:
    """What WebDataset opens by a command of the shell or of a storage's client."""
    from webdataset.gopen import Pipe, gopen

    try:
        stream = gopen(url, "rb")
    except ValueError as error:
        raise _FetchError(str(error), again=False) from error
    if not isinstance(stream, Pipe):
        raise _FetchError("an address of no known kind", again=False)
    output = stream.proc.stdout.fileno()

    def chunks() -> Iterator[bytes]:
        while select.select([output], [], [], seconds)[0]:
            if not (chunk := os.read(output, _CHUNK)):
                return
            yield chunk
        raise TimeoutError

    try:
        yield _Answer(chunks())
        if status := stream.proc.wait(seconds):
            raise _FetchError(f"exit code {status}", again=False)
    except subprocess.TimeoutExpired:
        raise TimeoutError from None
    finally:
        stream.proc.kill()  # nothing where it has ended
        with contextlib.suppress(OSError):
            stream.close()
