"""Energy of a call, as the accelerator's board counts it (NVML); None wherever nobody counts.

Needs ``nvidia-ml-py`` (the extra ``energy``) and an NVIDIA device of the Volta generation or later.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from typing import Any

import torch

Meter = Callable[[], float]
"""Energy used since some moment long ago. Units: mJ."""

LEAST_SECONDS = 2.0
"""The board's counter moves some ten to fifty times a second: what is shorter cannot be told from its step."""


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
        # Not by number: CUDA_VISIBLE_DEVICES gives the process numbers of its own.
        handle = nvml.nvmlDeviceGetHandleByUUID(f"GPU-{cuda.get_device_properties(device).uuid}")
        nvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except nvml.NVMLError:  # a board too old to count, a driver that does not tell
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
    """Energy of one ``work()``, the mean over as many as fill ``least`` seconds. The whole board's, idle draw included.

    Units: mJ; ``least`` seconds.
    """
    wait()
    start, before, done = clock(), meter(), 0
    while clock() - start < least:
        work()
        wait()
        done += 1
    return (meter() - before) / done
