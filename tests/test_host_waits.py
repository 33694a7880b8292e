"""How often a packed model makes the host wait for the device: counted on a CPU, where waiting costs nothing."""

from __future__ import annotations

from typing import Any

import torch
from mia_helpers import images, mixed
from torch import Tensor
from torch.overrides import TorchFunctionMode

READS = {"tolist", "item", "nonzero", "__bool__", "__int__", "__float__", "__index__", "cpu", "numpy", "unique"}


class Waits(TorchFunctionMode):
    """Counts what needs a value, or a shape that follows from values."""

    count = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        index = args[1] if name == "__getitem__" else ()
        masked = any(
            isinstance(i, Tensor) and i.dtype is torch.bool for i in (index if type(index) is tuple else (index,))
        )
        self.count += name in READS or masked
        return func(*args, **(kwargs or {}))


def test_mia_former_makes_the_host_wait_once_a_block() -> None:
    model = mixed()
    assert model.neutral is not None
    with torch.no_grad(), Waits() as waits:
        model.predict(images(), model.neutral)
    assert waits.count == len(model.controllers)


def test_what_waits_is_counted() -> None:
    with Waits() as waits:
        flags = torch.tensor([True, False])
        _ = flags.tolist(), flags[flags], flags.any().item(), bool(flags.all()), flags.nonzero()
    assert waits.count == 5
