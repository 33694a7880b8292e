"""Energy of a call, by the accelerator board's counter (NVML); None where there is no counter.

Needs ``nvidia-ml-py`` (the extra ``energy``) and an NVIDIA device of the Volta generation or later.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from typing import Any

import torch

Meter = Callable[[], float]
"""Energy used since a fixed moment in the past. Units: mJ."""

LEAST_SECONDS = 2.0
"""The board updates its counter ten to fifty times a second: anything shorter is lost in that step."""


def meter_for(device: torch.device, cuda: Any = torch.cuda) -> Meter | None:
    """The energy counter of the device's board; None where there is none."""
    if device.type != "cuda":
        return None
    try:
        nvml = importlib.import_module("pynvml")
    except ImportError:
        return None
    try:
        nvml.nvmlInit()
        # By UUID: under CUDA_VISIBLE_DEVICES the process numbers devices differently.
        handle = nvml.nvmlDeviceGetHandleByUUID(f"GPU-{cuda.get_device_properties(device).uuid}")
        nvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except nvml.NVMLError:  # a board without a counter, a driver without access to it
        return None
    return lambda: float(nvml.nvmlDeviceGetTotalEnergyConsumption(handle))


def energy_of(
    work: Callable[[], object],
    wait: Callable[[], None],
    meter: Meter,
    *,
    least: float = LEAST_SECONDS,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Mean energy of one ``work()`` over as many as fill ``least`` seconds: the whole board's, idle power included.

    Units: mJ; ``least`` seconds.
    """
    wait()
    start, before, done = clock(), meter(), 0
    while clock() - start < least:
        work()
        wait()
        done += 1
    return (meter() - before) / done
