"""The folder where what was fetched or scanned is kept. What cannot be kept there is made again."""

from __future__ import annotations

import os
from pathlib import Path

from dynvit.errors import InputError

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
