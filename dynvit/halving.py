"""Memory that runs out: how it is recognised, and work on a batch that goes on in smaller pieces."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from typing import TypeVar

import torch

ResultT = TypeVar("ResultT")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out: on an accelerator, in Python, or in torch's allocator for the CPU.

    >>> is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"))
    True
    >>> is_out_of_memory(RuntimeError("shape mismatch"))
    False
    """
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


def release(device: torch.device) -> None:
    """Free what a failed attempt has left allocated."""
    gc.collect()
    if device.type != "cpu":
        torch.accelerator.empty_cache()


class Pieces:
    """Cuts batches where memory runs out: in halves, until a piece fits. What fitted once is not tried larger again.

    ``size`` is the images of a piece; None: whole batches.
    """

    def __init__(self, device: torch.device) -> None:
        self.size: int | None = None
        self._device = device

    def of(self, images: int, work: Callable[[slice], ResultT]) -> Iterator[ResultT]:
        """What ``work`` gives for each piece of so many images, in order. Raises: as ``work`` does for one image."""
        done = 0
        while done < images:
            stop = min(done + (self.size or images), images)
            try:
                result = work(slice(done, stop))
            except Exception as error:
                if stop - done == 1 or not is_out_of_memory(error):
                    raise
                self.size = (stop - done + 1) // 2
            else:
                yield result
                done = stop
                continue
            release(self._device)  # here, where the exception no longer holds what it met
