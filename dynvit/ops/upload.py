"""Numbers of the host on a device, without waiting for what the device is doing."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def uploaded(numbers: Sequence[float], device: torch.device, dtype: torch.dtype | None = None) -> Tensor:
    """``numbers`` as a tensor. ``torch.tensor(numbers, device=device)`` would wait until a GPU has done all before it.

    >>> uploaded([1, 2], torch.device("cpu")).tolist()
    [1, 2]
    """
    made = torch.tensor(numbers, dtype=dtype)
    if device.type == "cuda":
        return made.pin_memory().to(device, non_blocking=True)
    return made.to(device)
