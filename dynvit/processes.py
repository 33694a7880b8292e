"""The processes that a launcher started, on accelerators or without any."""

from __future__ import annotations

import os

import torch
from accelerate import PartialState


def several_on_cpu() -> bool:
    """Whether a launcher started several processes on a machine without an accelerator.

    Accelerate must be told so, else each of them believes to be alone.
    """
    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and not torch.accelerator.is_available()


def process_state(device: str = "auto") -> PartialState:
    """This process's rank, the number of processes, and its device: ``auto`` is an accelerator where there is one."""
    return PartialState(cpu=device == "cpu" or several_on_cpu())
