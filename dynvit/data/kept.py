"""Decoded pixels that are kept: in memory as far as they fit, then in a file that goes with the process."""

from __future__ import annotations

import mmap
import tempfile
import warnings
import weakref
from typing import IO

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dynvit.cache import RESERVE, free_bytes, place_for
from dynvit.errors import InputError


class _NearlyFullError(OSError):
    """Others need what is left of the disk."""


class DiskAllowance:
    """How much the pixels of this process may take on disk, all files together. Units: ``disk_mb`` MiB."""

    def __init__(self, disk_mb: int) -> None:
        self.left = disk_mb << 20

    def give_back(self, size: int) -> None:
        """Bytes that are free again."""
        self.left += size


class KeptPixels:
    """Pixels by a number. What was kept is there again; what does not fit is not, and the caller makes it again.

    Pixels never take more than these bytes of ``memory``, and no more than ``disk`` has left. The file has no name, so
    that it is gone with the process, whatever ends it; and with the last one who holds this object or pixels of it.
    """

    def __init__(self, memory: int, disk: DiskAllowance | None = None) -> None:
        self._memory_left, self._disk = memory, disk
        self._arrays: dict[int, NDArray[np.uint8]] = {}
        self._file: _PixelFile | None = None

    def __contains__(self, number: int) -> bool:
        return number in self._arrays or (self._file is not None and number in self._file.places)

    def keep(self, number: int, images: NDArray[np.uint8]) -> bool:
        """Whether they are kept."""
        if number in self:
            return True
        if images.nbytes <= self._memory_left:
            self._memory_left -= images.nbytes
            self._arrays[number] = images
            return True
        if self._disk is None or not images.nbytes:
            return False
        try:
            self._file = self._file or _PixelFile(self._disk)
            return self._file.write(number, images)
        except (OSError, InputError) as error:
            said = (error.strerror if isinstance(error, OSError) else None) or error
            warnings.warn(
                f"decoded images are not kept on disk, but decoded again for each point: {said}", stacklevel=2
            )
            self._disk = None
            if not isinstance(error, _NearlyFullError):
                self._file = None  # a full disk is given back what this took of it
            return False

    def __getitem__(self, number: int) -> Tensor:
        found = self._arrays.get(number)
        if found is None and self._file is not None:
            found = self._file.read(number)
        if found is None:
            raise KeyError(number)
        return torch.from_numpy(found)


class _PixelFile:
    """Arrays one after the other in a file without a name, mapped into memory one at a time."""

    def __init__(self, allowance: DiskAllowance) -> None:
        folder = place_for("pixels", "file").parent
        self._file: IO[bytes] = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 - open while it is kept
        self._folder, self._allowance, self._end = folder, allowance, 0
        self.places: dict[int, tuple[int, tuple[int, ...]]] = {}
        self._taken = [0]
        weakref.finalize(self, _release, self._file, allowance, self._taken)

    def write(self, number: int, images: NDArray[np.uint8]) -> bool:
        """Whether there was room. Raises: ``OSError`` for a full disk."""
        size = -(-images.nbytes // mmap.ALLOCATIONGRANULARITY) * mmap.ALLOCATIONGRANULARITY
        if size > self._allowance.left:
            return False
        if free_bytes(self._folder) < size + RESERVE:
            raise _NearlyFullError(f"{RESERVE >> 20} MiB must be left on the disk of {self._folder}")
        self._allowance.left -= size
        self._taken[0] += size
        # Written, not mapped: on a full disk a mapping ends the process instead of raising.
        rest = np.ascontiguousarray(images).data.cast("B")
        self._file.seek(self._end)
        while rest:
            rest = rest[self._file.write(rest) :]
        self.places[number] = self._end, images.shape
        self._end += size
        return True

    def read(self, number: int) -> NDArray[np.uint8] | None:
        """A view of the file; what is changed in it stays in memory."""
        if number not in self.places:
            return None
        start, shape = self.places[number]
        size = int(np.prod(shape))
        mapped = mmap.mmap(self._file.fileno(), size, access=mmap.ACCESS_COPY, offset=start)
        return np.frombuffer(mapped, np.uint8).reshape(shape)


def _release(file: IO[bytes], allowance: DiskAllowance, taken: list[int]) -> None:
    file.close()
    allowance.give_back(taken[0])
