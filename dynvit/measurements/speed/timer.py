"""How long a call takes on a device: by CUDA's own events, else by the wall clock with the device waited for."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch

Timer = Callable[[Callable[[], object]], float]
"""Does the work, all of it, and returns its time. Units: seconds."""


def timer_for(device: torch.device) -> Timer:
    """The clock that fits a device."""
    if device.type == "cuda":
        return event_timer(device)
    return wall_timer(lambda: wait_for(device))


def wall_timer(wait: Callable[[], None], clock: Callable[[], float] = time.perf_counter) -> Timer:
    """Wall time between two moments at which the device has nothing left to do."""

    def seconds(work: Callable[[], object]) -> float:
        wait()
        start = clock()
        work()
        wait()
        return clock() - start

    return seconds


def event_timer(device: torch.device, cuda: Any = torch.cuda) -> Timer:
    """Time on the device between two events, the first on an idle device.

    What Python takes to launch the work is in it as far as the device waits for it, as it is for whoever runs the
    model; what Python does after the last launch is not.

    Units: events tell milliseconds, this seconds.
    """

    def seconds(work: Callable[[], object]) -> float:
        begin, end = cuda.Event(enable_timing=True), cuda.Event(enable_timing=True)
        cuda.synchronize(device)
        stream = cuda.current_stream(device)  # of this device: an event would take the current one's
        begin.record(stream)
        work()
        end.record(stream)
        cuda.synchronize(device)
        return float(begin.elapsed_time(end)) / 1e3

    return seconds


def wait_for(device: torch.device) -> None:
    """Return when the device has done all it was given; a CPU always has."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
