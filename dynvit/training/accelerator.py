"""The accelerator that a training runs on, and who follows it."""

from __future__ import annotations

from pathlib import Path

from accelerate import Accelerator

from dynvit.errors import InputError, install, unknown
from dynvit.processes import several_on_cpu
from dynvit.training.request import RunSettings, TrainRequest


def accelerator_for(folder: Path, request: TrainRequest, settings: RunSettings) -> Accelerator:
    """Raises: ``InputError`` for a precision that the device does not have, or a tracker that is not installed."""
    if settings.track is not None:
        _check_tracker(settings.track)
    try:
        accelerator = Accelerator(
            cpu=several_on_cpu(),
            mixed_precision=request.mixed_precision,
            log_with=settings.track,
            project_dir=str(folder / "tracking"),
        )
    except ValueError as error:  # a device without fp16, a second precision in one process
        raise InputError(f"mixed precision {request.mixed_precision}: {error}") from error
    if settings.track is not None:
        plain = {name: v for name, v in request.model_dump().items() if isinstance(v, str | int | float)}
        accelerator.init_trackers("dynvit", config=plain)
    return accelerator


def _check_tracker(name: str) -> None:
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers

    known = [str(kind) for kind in LOGGER_TYPE_TO_CLASS]
    if name not in known:
        raise unknown("tracker", name, known)
    if name not in map(str, get_available_trackers()):
        how = install("track") if name == "tensorboard" else f"pip install {name}"
        raise InputError(f"tracker {name} is not installed: {how}, or leave out --track")
