"""What a file must be to be kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

Check = Callable[[Path], None]
"""Looks at a file that came. Raises: ``ValueError`` with the reason where it is not what was asked for."""

_PAGES = (b"<!doctype html", b"<html", b"<head", b"<body")


def no_web_page(path: Path) -> None:
    """Refuses a page for people: of a login, a virus scan, an error. A ``Check``."""
    with path.open("rb") as file:
        begin = file.read(512).removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if begin.startswith(_PAGES):
        raise ValueError("is a web page, not a file")
