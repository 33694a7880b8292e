"""What a person did wrong, said in one line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError


class InputError(Exception):
    """Wrong input: what is wrong, what is allowed, what to do, in one line.

    The command line prints the line and exits with code 2; a library caller catches it like any exception.
    """

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


def unknown(kind: str, name: str, known: Iterable[str]) -> InputError:
    """The error for a name that nobody registered, with the nearest names and the list.

    >>> print(unknown("method", "dens", ["dense", "topk"]))
    unknown method 'dens': did you mean 'dense'? Known: dense, topk
    """
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=2)
    hint = f" did you mean {' or '.join(repr(n) for n in near)}?" if near else ""
    shown = names if len(names) <= 20 else [*names[:20], f"… ({len(names)} in all)"]
    return InputError(f"unknown {kind} {name!r}:{hint} Known: {', '.join(shown) or 'none'}")


def lacks(error: Exception) -> str:
    """What a file of another form lacks, from the error that reading it gave.

    >>> lacks(KeyError("entries"))
    "field 'entries' is missing"
    """
    return (
        f"field {error.args[0]!r} is missing"
        if isinstance(error, KeyError)
        else f"a field is of another type ({error})"
    )


def first_fault(error: ValidationError) -> str:
    """The first thing that pydantic finds wrong: which field, why, and how many more there are."""
    faults = error.errors(include_url=False)
    where = ".".join(str(step) for step in faults[0]["loc"])
    what = faults[0]["msg"].removeprefix("Value error, ")
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return (f"{where}: {what}" if where else what) + more
