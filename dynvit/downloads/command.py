"""Files that a command writes: of the shell, or of a storage's client."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from dynvit.downloads.answer import CHUNK, Answer, FetchError


def has_command(url: str) -> bool:
    """Whether WebDataset opens ``url`` by a command, and fsspec does not know its protocol."""
    from webdataset.gopen import gopen_schemes

    scheme = url.partition(":")[0]
    if scheme == "pipe":
        return True
    import fsspec

    return scheme in gopen_schemes and scheme not in fsspec.available_protocols()


@contextmanager
def from_command(url: str, seconds: float) -> Iterator[Answer]:
    """What WebDataset opens by a command of the shell or of a storage's client."""
    from webdataset.gopen import Pipe, gopen

    try:
        stream = gopen(url, "rb")
    except ValueError as error:
        raise FetchError(str(error), again=False) from error
    if not isinstance(stream, Pipe):
        raise FetchError("an address of no known kind", again=False)
    output = stream.proc.stdout.fileno()

    def chunks() -> Iterator[bytes]:
        while select.select([output], [], [], seconds)[0]:
            if not (chunk := os.read(output, CHUNK)):
                return
            yield chunk
        raise TimeoutError

    try:
        yield Answer(chunks())
        if status := stream.proc.wait(seconds):
            raise FetchError(f"exit code {status}", again=False)
    except subprocess.TimeoutExpired:
        raise TimeoutError from None
    finally:
        stream.proc.kill()  # nothing where it has ended
        with contextlib.suppress(OSError):
            stream.close()
