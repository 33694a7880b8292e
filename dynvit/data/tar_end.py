"""The end of a tar: marked, and followed by nothing."""

from __future__ import annotations

import tarfile
from typing import IO

from dynvit.errors import InputError

_CHUNK = 1 << 20


class GoesOnError(InputError):
    """A tar that goes on after its end."""


def check_end(file: IO[bytes], offset: int, end: int, where: str) -> None:
    """Check that a tar whose last member ends at ``offset`` has its mark there, and nothing but zeros up to ``end``.

    Raises: ``EOFError`` without a mark: tarfile takes a cut between two members for an end. ``GoesOnError`` where more
    follows, which every reader of tars passes over.
    """
    file.seek(offset)
    if end - offset < tarfile.BLOCKSIZE:
        raise EOFError("no end-of-archive mark")
    while offset < end:
        chunk = file.read(min(_CHUNK, end - offset))
        if not chunk:
            raise EOFError("the file ends before the archive does")
        if chunk.strip(b"\0"):
            raise GoesOnError(
                f"{where} goes on after its end-of-archive mark, as tars joined by cat do, and readers stop there: "
                "split it, or unpack it with tar --ignore-zeros and pack the folder"
            )
        offset += len(chunk)
