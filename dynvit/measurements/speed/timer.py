"""How long a call takes on a device: by CUDA events, else by the wall clock around a synchronised call."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch

Timer = Callable[[Callable[[], object]], float]
"""Runs a call to its end on the device, and returns how long it took. Units: seconds."""


def timer_for(device: torch.device) -> Timer:
    """The timer for a device."""
    if device.type == "cuda":
        return event_timer(device)
    return wall_timer(lambda: wait_for(device))


def wall_timer(wait: Callable[[], None], clock: Callable[[], float] = time.perf_counter) -> Timer:
    """Wall time between two moments at which the device is idle."""

    def seconds(work: Callable[[], object]) -> float:
        wait()
        start = clock()
        work()
        wait()
        return clock() - start

    return seconds


def event_timer(device: torch.device, cuda: Any = torch.cuda) -> Timer:
    """Time on the device between two events, the first on an idle device.

    The time that Python takes to launch the work is included as far as the device waits for it, as in any run of the
    model; what Python does after the last launch is not.

    Units: seconds, where CUDA events have milliseconds.
    """

    def seconds(work: Callable[[], object]) -> float:
        begin, end = cuda.Event(enable_timing=True), cuda.Event(enable_timing=True)
        cuda.synchronize(device)
        stream = cuda.current_stream(device)  # of this device: an event takes the current device's by default
        begin.record(stream)
        work()
        end.record(stream)
        cuda.synchronize(device)
        return float(begin.elapsed_time(end)) / 1e3

    return seconds


def wait_for(device: torch.device) -> None:
    """Return when the device is idle; a CPU always is."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
