"""How much memory a call takes: the largest sum of live tensors, in bytes.

On CUDA the allocator reports it. On a CPU the resident set belongs to the process, with both models and the images in
it, and its high-water mark never falls: it says nothing about one call. There tensors are added up as they are created
and freed; workspace inside a kernel is not included. On DeiT-Tiny the sum equals, to the byte, what torch's profiler
reports of the allocator.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

CUDA_ALLOCATOR, LIVE_TENSORS = "cuda allocator", "live tensors"


def peak_bytes(call: Callable[[], object], device: torch.device, cuda: Any = torch.cuda) -> tuple[int, str] | None:
    """Peak memory of ``call`` above what was allocated before, and how it was measured.

    None on a device that does not report it. Units: bytes.
    """
    if device.type == "cuda":
        cuda.synchronize(device)
        cuda.reset_peak_memory_stats(device)
        before = cuda.memory_allocated(device)
        call()
        cuda.synchronize(device)
        return int(cuda.max_memory_allocated(device) - before), CUDA_ALLOCATOR
    if device.type == "cpu":
        with _LiveTensors() as live:
            call()
        return live.peak, LIVE_TENSORS
    return None


def own_bytes(module: nn.Module) -> int:
    """Bytes of a module's parameters and buffers, shared ones counted once."""
    return sum(t.untyped_storage().nbytes() for t in {*module.parameters(), *module.buffers()})


class DoesNotFitError(Exception):
    """Memory ran out; ``who`` is the model that needed more."""

    def __init__(self, who: str) -> None:
        super().__init__(f"{who} does not fit in memory")
        self.who = who


class _LiveTensors(TorchDispatchMode):
    """Adds up the storages that operations create, and subtracts those that are freed."""

    def __init__(self) -> None:
        super().__init__()
        self.peak = 0
        self._now = 0
        self._sizes: dict[int, int] = {}

    def __torch_dispatch__(
        self, func: Any, types: Sequence[Any], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        given = {id(t.untyped_storage()) for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)}
        for made in tree_leaves(result):
            if isinstance(made, Tensor):
                self._add(made.untyped_storage(), given)
        return result

    def _add(self, storage: torch.UntypedStorage, given: set[int]) -> None:
        name = id(storage)
        if name not in self._sizes and name not in given:
            self._sizes[name] = storage.nbytes()
            self._now += storage.nbytes()
            self.peak = max(self.peak, self._now)
            weakref.finalize(storage, self._remove, name)

    def _remove(self, name: int) -> None:
        self._now -= self._sizes.pop(name)
