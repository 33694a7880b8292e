"""A disk that fills up, without one: what is written below a folder counts, and beyond a limit the system says no."""

from __future__ import annotations

import builtins
import errno
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest


class SmallDisk:
    """A folder into which so many more bytes fit. Removed files give nothing back."""

    def __init__(self, folder: Path, left: int) -> None:
        self.folder, self.left = str(folder), left

    def open(self, file: Any, mode: str = "r", buffering: int = -1, *texts: Any, **named: Any) -> Any:
        """``open``, for a file that may not fit."""
        plain = isinstance(file, int) or not set(mode) & set("wax+")
        if plain or not os.path.abspath(os.fspath(file)).startswith(self.folder):
            return _OPEN(file, mode, buffering, *texts, **named)
        raw = _Counted(file, mode.replace("b", "").replace("t", ""))
        raw.disk = self
        buffered: Any = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        if "b" in mode:
            return raw if buffering == 0 else buffered
        return io.TextIOWrapper(buffered, *texts, **named)


class _Counted(io.FileIO):
    disk: SmallDisk

    def write(self, content: Any) -> int:
        """As much as fits, then an error."""
        view = memoryview(content).cast("B")
        if not self.disk.left and len(view):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = super().write(view[: self.disk.left]) or 0
        self.disk.left -= written
        return written


_OPEN = io.open


@contextmanager
def small_disk(folder: Path, left: int) -> Iterator[SmallDisk]:
    """Let so many more bytes fit into ``folder``."""
    disk = SmallDisk(folder, left)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(io, "open", disk.open)
        patch.setattr(builtins, "open", disk.open)
        yield disk
