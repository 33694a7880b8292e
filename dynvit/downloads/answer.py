"""What a place answers when it is asked for a file, whatever kind of place it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

CHUNK = 1 << 16


class FetchError(Exception):
    """A fetch that failed; ``again`` says whether it is worth another try, ``broke_off`` whether the rest is enough."""

    def __init__(self, reason: str, *, again: bool, broke_off: bool = False) -> None:
        super().__init__(reason)
        self.again, self.broke_off = again, broke_off


@dataclass
class Partial:
    """What came so far: ``done`` bytes of what the server calls ``version``, which must be known to add to them."""

    done: int = 0
    version: str = ""


@dataclass(frozen=True)
class Answer:
    """What comes from byte ``start`` on: ``size`` in bytes and ``sha256`` are of the whole, where they are promised."""

    chunks: Iterator[bytes]
    size: int | None = None
    sha256: str | None = None
    start: int = 0
    version: str = ""


def host_of(url: str) -> str:
    """The host, without a password that may stand before it; of a command its first word.

    >>> host_of("https://me:secret@host:8/a.tar"), host_of("s3://bucket/a.tar"), host_of("pipe:curl -s -L x.tar")
    ('host:8', 's3://bucket', "the command 'curl'")
    """
    if url.startswith("pipe:"):
        return f"the command {url[5:].split()[0]!r}" if url[5:].split() else "an empty command"
    parts = urlsplit(url.rpartition("::")[2])
    host = parts.netloc.rpartition("@")[2]
    if not host:
        return f"{parts.scheme}:" if parts.scheme else url
    return host if parts.scheme in ("http", "https") else f"{parts.scheme}://{host}"
