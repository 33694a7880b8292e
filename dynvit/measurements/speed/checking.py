"""Whether speed can be measured here."""

from __future__ import annotations

import torch

from dynvit.errors import InputError
from dynvit.measurements.speed.settings import SpeedSettings
from dynvit.measurements.speed.timed_model import check_compile
from dynvit.processes import launched


def check_speed(settings: SpeedSettings, device: torch.device) -> None:
    """Raises: ``InputError`` for what would spoil the timings, or cannot be done on this machine."""
    if launched() > 1:
        raise InputError(
            f"speed is measured by one process, and {launched()} were started, which would slow each other: run the "
            "bench on them without --speed, then once more without a launcher and with it; it goes on from there"
        )
    if settings.compile:
        check_compile(device)
