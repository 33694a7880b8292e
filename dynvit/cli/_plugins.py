"""``--plugin FILE``, for every command: a file that registers methods, measurements, attacks or data sets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Annotated

import typer

Plugin = Annotated[list[str] | None, typer.Option("--plugin", metavar="FILE", help="A one-file plug-in; repeatable.")]


def load(files: Iterable[str] | None) -> None:
    """Load the files. Raises: ``InputError`` for one that is missing, or that does not import."""
    from dynvit.registry import load_plugin

    for file in files or ():
        load_plugin(file)


def load_named(arguments: Sequence[str]) -> None:
    """Load the files that ``--plugin`` names, before the flags that they declare are asked for."""
    load(value for flag, value in pairwise(arguments) if flag == "--plugin")
    load(word.partition("=")[2] for word in arguments if word.startswith("--plugin="))
