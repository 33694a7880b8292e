"""What a person did wrong, said in one line."""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable, Sized
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


_AGAIN = "run the same command again: what was finished is kept"
_OS_FAULTS = {
    errno.ENOSPC: ("no space is left on its disk", f"free some space and {_AGAIN}"),
    errno.EDQUOT: ("the disk quota is used up", f"free some space and {_AGAIN}"),
    errno.EROFS: ("its file system is read-only", "give a place that can be written"),
    errno.EACCES: ("permission is denied", "give another path, or change its permissions"),
    errno.EPERM: ("it is not permitted", "give another path, or change its permissions"),
    errno.ENOENT: ("there is no such file or folder", "check the path"),
    errno.EISDIR: ("it is a folder where a file is needed", "give another path"),
    errno.ENOTDIR: ("a part of its path is a file where a folder is needed", "give another path"),
    errno.ENAMETOOLONG: ("the name is too long", "give a shorter one"),
    errno.ELOOP: ("its symbolic links lead in a circle", "give the file itself"),
    errno.EMFILE: ("too many files are open", "use fewer --workers, or allow more: ulimit -n"),
    errno.ENFILE: ("too many files are open on this machine", f"close some programs and {_AGAIN}"),
    errno.EIO: ("its disk cannot read or write it", f"check the disk and {_AGAIN}"),
    errno.EFBIG: ("the file would be larger than is allowed", f"allow more (ulimit -f) and {_AGAIN}"),
    errno.ENOMEM: ("there is not enough memory", f"close some programs and {_AGAIN}"),
}


def install(extra: str) -> str:
    """How one of dynvit's extras is installed, which is on no registry.

    >>> install("site")
    'pip install ".[site]" in the clone of dynvit'
    """
    return f'pip install ".[{extra}]" in the clone of dynvit'


def os_fault(error: OSError) -> str:
    """What the operating system refused, for people: which file, what happened, what to do.

    >>> os_fault(OSError(errno.ENOSPC, "No space left on device", "runs/a"))[:46]
    "cannot use 'runs/a': no space is left on its d"
    """
    named = [repr(str(name)) for name in (error.filename, error.filename2) if name is not None]
    what = f"cannot use {' or '.join(dict.fromkeys(named))}" if named else "cannot read or write a file"
    code = error.errno if error.errno is not None else -1
    why, then = _OS_FAULTS.get(code, (error.strerror or str(error) or type(error).__name__, ""))
    return f"{what}: {why}{'; ' if then else ''}{then}"


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
    return (f"{where}: {what}" if where else what) + and_more(faults)


def and_more(faults: Sized) -> str:
    """How many there are beside the first, to be said behind it.

    >>> and_more("abc"), and_more("a")
    (' (and 2 more)', '')
    """
    return f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
