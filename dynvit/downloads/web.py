"""Files by http and https."""

from __future__ import annotations

import base64
import binascii
import contextlib
import http.client
import re
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote, urlsplit

from dynvit.downloads.answer import CHUNK, Answer, FetchError, Partial, host_of


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, and keeps what is promised on the way: the Hub names the hash before it redirects."""

    def __init__(self) -> None:
        self.promised: str | None = None

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        self.promised = _promised(headers) or self.promised
        return super().redirect_request(req, fp, code, msg, headers, newurl)


@contextmanager
def from_web(url: str, seconds: float, partial: Partial) -> Iterator[Answer]:
    """What a server answers; asked for the rest where part of a known version is there."""
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
            raise FetchError(f"{host_of(answer.geturl())} answers with a web page, not a file", again=False)
        length = answer.headers.get("Content-Length") or ""
        start, size = 0, int(length) if length.isdecimal() else None
        if answer.status == http.client.PARTIAL_CONTENT:
            start, size = _rest(answer.headers.get("Content-Range") or "", partial, size)
        chunks = iter(lambda: answer.read1(CHUNK), b"")
        promised = _promised(answer.headers) or redirects.promised
        yield Answer(chunks, size, promised, start, _version(answer.headers))


def _rest(said: str, partial: Partial, length: int | None) -> tuple[int, int | None]:
    """Where the rest begins, and the size of the whole. Raises: ``FetchError`` for another part than was asked for."""
    match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", said)
    if match is None or not partial.done or int(match[1]) != partial.done:
        raise FetchError(f"it answers another part of the file than was asked for ({said or 'unsaid'})", again=True)
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
