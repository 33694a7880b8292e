"""The processes that a launcher started, on accelerators or without any."""

from __future__ import annotations

import os

import torch
from accelerate import PartialState

from dynvit.errors import InputError

SMALL_MACS = 50_000_000


def several_on_cpu() -> bool:
    """Whether a launcher started several processes on a machine without an accelerator.

    Accelerate must be told so, else each of them believes to be alone.
    """
    return launched() > 1 and not torch.accelerator.is_available()


def process_state(device: str = "auto") -> PartialState:
    """This process's rank, the number of processes, and its device: ``auto`` is an accelerator where there is one."""
    return PartialState(cpu=device == "cpu" or several_on_cpu())


def launched() -> int:
    """The number of processes that a launcher started: 1 without one."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def find_device(name: str) -> torch.device:
    """``auto`` (an accelerator where there is one), ``cpu``, or an accelerator by torch's name: ``cuda``, ``cuda:1``.

    Raises: ``InputError`` for a device that is not there, naming those that are.
    """
    there = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    if name == "auto":
        return there or torch.device("cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is not None and device.type == "cpu":
        return torch.device("cpu")
    if device is None or there is None or device.type != there.type or (device.index or 0) >= _count():
        known = ["auto", "cpu"] + ([f"{there.type}:{index}" for index in range(_count())] if there else [])
        raise InputError(f"device must be one of {', '.join(map(repr, known))}, got {name!r}")
    return device


def _count() -> int:
    return torch.accelerator.device_count()


def fit_threads(macs: int) -> None:
    """One thread for a model of few MACs, unless ``OMP_NUM_THREADS`` says otherwise; for a command, not a library.

    On a small model a second thread mostly waits for the first: at best it brings a third, and on a machine that is
    busy with something else the two, waiting for each other, take ten times as long.

    Units: ``macs`` of one image.
    """
    if macs < SMALL_MACS and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)
