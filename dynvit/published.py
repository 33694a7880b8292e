"""Published checkpoints: fetched from their authors' address when asked for, kept, and known by their hash."""

from __future__ import annotations

import hashlib
import http.client
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from dynvit.backbones.weights import sha256_of
from dynvit.data.scan import cache_dir
from dynvit.errors import InputError, unknown
from dynvit.files import atomic
from dynvit.interface import Method, PublishedCheckpoint
from dynvit.progress import Progress

_MEBIBYTE = 1 << 20
_SECONDS = 30.0


def find(method: Method[Any], name: str) -> PublishedCheckpoint:
    """The method's published checkpoint of that name.

    Raises: ``InputError`` with the nearest names, for one that is no file either.
    """
    for published in method.published:
        if published.name == name:
            return published
    what = "folder, file or published checkpoint"
    if not method.published:
        raise InputError(f"no {what} is called {name!r}, and the method has none published: give a folder or a file")
    raise unknown(what, name, [published.name for published in method.published])


def fetch(published: PublishedCheckpoint, cache: Path | None = None) -> Path:
    """The checkpoint as a local file, fetched now where it is not in ``cache`` (default: dynvit's own) as it came.

    Its SHA-256 is recorded beside it, in ``sha256sum``'s format. A fetch that is killed leaves no half file.

    Raises: ``InputError`` where the address does not answer, breaks off, or answers with a page for people.
    """
    folder = cache_dir() / "checkpoints" if cache is None else cache
    target = folder / f"{published.name}.pth"
    record = target.with_name(f"{target.name}.sha256")
    if target.is_file() and record.is_file() and record.read_text().split()[:1] == [sha256_of(target)]:
        return target
    try:
        with atomic(target) as temporary:
            digest = _download(published, temporary)
            # The record comes first: a file under its final name always has one.
            with atomic(record) as line:
                line.write_text(f"{digest}  {target.name}\n")
    except (urllib.error.URLError, http.client.HTTPException, OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or str(error) or type(error).__name__
        raise InputError(
            f"cannot fetch {published.name} from {published.url} ({reason}): check the network, "
            "or fetch it by hand and give its path"
        ) from error
    return target


def _download(published: PublishedCheckpoint, into: Path) -> str:
    """Fetch to ``into``; the SHA-256 of what came."""
    if not published.url.startswith(("https://", "http://")):
        raise ValueError("only http and https are fetched")
    request = urllib.request.Request(published.url, headers={"User-Agent": "dynvit"})
    digest, done = hashlib.sha256(), 0
    with urllib.request.urlopen(request, timeout=_SECONDS) as answer, into.open("wb") as out:
        if answer.headers.get_content_type() == "text/html":
            raise ValueError("the address answers with a web page, not a file")
        expected = int(answer.headers.get("Content-Length") or 0)
        with Progress(f"fetching {published.name}", -(-expected // _MEBIBYTE), unit="MiB") as progress:
            while chunk := answer.read(_MEBIBYTE):
                out.write(chunk)
                digest.update(chunk)
                done += len(chunk)
                progress.advance()
    if done == 0 or (expected and done != expected):
        raise ValueError(f"it broke off after {done} of {expected} bytes")
    return digest.hexdigest()
