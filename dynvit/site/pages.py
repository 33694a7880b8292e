"""Templates filled in: everything that comes from a board is escaped, and seen."""

from __future__ import annotations

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from dynvit.plain import visible
from dynvit.site.marks import mark_of
from dynvit.version import __version__


def page(template: str, **values: Any) -> bytes:
    """A page as UTF-8."""
    return _environment().get_template(template).render(**values).encode()


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("dynvit.site"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_seen,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"mark_of": mark_of, "version": __version__}
    return environment


def _seen(value: Any) -> Any:
    """Text with no character that is not seen, such as one that turns a line around; our own markup as it is."""
    return visible(value, keep="\n") if isinstance(value, str) and not isinstance(value, Markup) else value
