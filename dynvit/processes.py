"""The processes that a launcher started, on accelerators or without any."""

from __future__ import annotations

import os

import torch
from accelerate import PartialState

SMALL_MACS = 50_000_000


def several_on_cpu() -> bool:
    """Whether a launcher started several processes on a machine without an accelerator.

    Accelerate must be told so, else each of them believes to be alone.
    """
    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and not torch.accelerator.is_available()


def process_state(device: str = "auto") -> PartialState:
    """This process's rank, the number of processes, and its device: ``auto`` is an accelerator where there is one."""
    return PartialState(cpu=device == "cpu" or several_on_cpu())


def fit_threads(macs: int) -> None:
    """One thread for a model of few MACs, unless ``OMP_NUM_THREADS`` says otherwise; for a command, not a library.

    On a small model a second thread mostly waits for the first: at best it brings a third, and on a machine that is
    busy with something else the two, waiting for each other, take ten times as long.

    Units: ``macs`` of one image.
    """
    if macs < SMALL_MACS and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)
