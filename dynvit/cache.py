"""The folder where what was fetched or scanned is kept. What cannot be kept there is made again."""

from __future__ import annotations

import math
import os
from pathlib import Path

from dynvit.errors import InputError

RESERVE = 512 << 20
"""Bytes of a disk that are left to others: a run must not fill the disk that its records go to."""

_GIGABYTE = 10**9
_ELSEWHERE = "set DYNVIT_CACHE to a folder that can be written"


def cache_dir() -> Path:
    """``$DYNVIT_CACHE``, else ``~/.cache/dynvit``.

    Raises: ``InputError`` where there is no home folder either: a container's user may have none.
    """
    if given := os.environ.get("DYNVIT_CACHE"):
        return Path(given)
    home = Path(os.path.expanduser("~"))
    if not home.is_absolute():
        raise InputError(f"this user has no home folder to keep files in: {_ELSEWHERE}")
    return home / ".cache" / "dynvit"


def kept(*parts: str) -> Path | None:
    """The file of that name in the cache; None where there is none, or none that this user can read."""
    try:
        path = cache_dir().joinpath(*parts)
        return path if path.is_file() and os.access(path, os.R_OK) else None
    except (OSError, InputError):
        return None


def place_for(*parts: str) -> Path:
    """Where a file of that name is to be kept; its folder is made.

    Raises: ``InputError`` where it cannot be made or written.
    """
    path = cache_dir().joinpath(*parts)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not os.access(path.parent, os.W_OK | os.X_OK):
            raise PermissionError("it is not this user's")
    except OSError as error:
        raise InputError(f"files cannot be kept in {path.parent} ({error.strerror or error}): {_ELSEWHERE}") from error
    return path


def limit() -> int | None:
    """What fetched shards may take, by ``$DYNVIT_CACHE_GB``, in bytes; None without a limit.

    Raises: ``InputError`` where it is no size.
    """
    text = os.environ.get("DYNVIT_CACHE_GB")
    if not text:
        return None
    try:
        size = float(text) * _GIGABYTE
    except ValueError:
        size = math.nan
    if not 0 < size < math.inf:
        raise InputError(f"DYNVIT_CACHE_GB must be a number of gigabytes above 0, got {text!r}")
    return int(size)


def free_bytes(folder: Path) -> int:
    """What is free on the disk of ``folder``; more than any disk has where the system does not tell."""
    try:
        found = os.statvfs(folder)
    except (AttributeError, OSError):  # no such question on this system: a full disk is met when it is
        return 1 << 62
    return found.f_bavail * found.f_frsize


def gigabytes(size: int) -> str:
    """A size for people.

    >>> gigabytes(7_162_000_000), gigabytes(53_000)
    ('7.16 GB', '5.3e-05 GB')
    """
    return f"{size / _GIGABYTE:.3g} GB"
