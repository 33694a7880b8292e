"""How often a packed model makes the host wait for the device: counted on a CPU, where waiting costs nothing."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from mia_helpers import images, mixed
from torch import Tensor
from torch.overrides import TorchFunctionMode

from dynvit.interface import methods
from dynvit.testing import Subject

FROM_PIXELS = {"random", "atc"}
"""Methods that read every image on the host anyway: their orders are drawn, or found, there."""
READS = {"tolist", "item", "nonzero", "__bool__", "__int__", "__float__", "__index__", "cpu", "numpy", "unique"}


class Waits(TorchFunctionMode):
    """Counts what needs a value, or a shape that follows from values; and apart, numbers that are put on a device.

    A GPU waits for those too, until it has done all that it was given: ``uploaded`` does not.
    """

    count = uploads = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        index = args[1] if name == "__getitem__" else ()
        masked = any(
            isinstance(i, Tensor) and i.dtype is torch.bool for i in (index if type(index) is tuple else (index,))
        )
        self.count += name in READS or masked
        self.uploads += name in {"tensor", "as_tensor"} and "device" in (kwargs or {})
        return func(*args, **(kwargs or {}))


def test_mia_former_makes_the_host_wait_once_a_block() -> None:
    model = mixed()
    assert model.neutral is not None
    with torch.no_grad(), Waits() as waits:
        model.predict(images(), model.neutral)
    assert waits.count == len(model.controllers)


@pytest.mark.parametrize("name", sorted(set(methods.names()) - FROM_PIXELS))
def test_no_method_waits_to_put_numbers_on_the_device(name: str) -> None:
    subject = Subject.of(name)
    model = subject.model()
    point = model.trained_point or model.neutral or subject.points(model)[0]
    with torch.no_grad(), Waits() as waits:
        model.predict(subject.images, point)
    assert waits.uploads == 0


def test_what_waits_is_counted() -> None:
    with Waits() as waits:
        flags = torch.tensor([True, False])
        _ = flags.tolist(), flags[flags], flags.any().item(), bool(flags.all()), flags.nonzero()
        torch.tensor([1], device=flags.device)
    assert (waits.count, waits.uploads) == (5, 1)
