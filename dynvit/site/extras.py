"""The libraries that pages are made with, which not everybody installs."""

from __future__ import annotations

from importlib import import_module

from dynvit.errors import InputError, install


def check_extras() -> None:
    """Raises: ``InputError`` where one of them is missing, saying how all are installed."""
    for name in ("jinja2", "altair", "vl_convert"):
        try:
            import_module(name)
        except ImportError as error:
            raise InputError(f"pages are made with {name}, which is missing: {install('site')}") from error
