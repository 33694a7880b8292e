"""What a measurement ran on: versions, processor, threads. No host name, no user, no path."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version

from pydantic import BaseModel, ConfigDict, Field

_PACKAGES = ("dynvit", "torch", "timm", "accelerate", "optuna", "numpy")


class Environment(BaseModel):
    """The software and the machine under a record; ``null`` is a package that is not installed."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    python: str = Field(description="Python version")
    platform: str = Field(description="operating system and machine architecture")
    cpu: str | None = Field(description="processor model, as the system names it")
    cpu_threads: int = Field(ge=1, description="processors that this process may use")
    processes: int = Field(default=1, ge=1, description="processes that shared the images")
    device: str = Field(description="device that ran the model: 'cpu', or the accelerator's model name")
    dynvit: str | None = Field(description="version of dynvit")
    torch: str | None = Field(description="version of torch")
    timm: str | None = Field(description="version of timm")
    accelerate: str | None = Field(description="version of accelerate")
    optuna: str | None = Field(description="version of optuna")
    numpy: str | None = Field(description="version of numpy")


def capture(device: str = "cpu", processes: int = 1) -> Environment:
    """The environment of this process; imports none of the packages whose versions it tells.

    >>> capture("cpu").device
    'cpu'
    """
    return Environment(
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.machine()}",
        cpu=_cpu_model(),
        cpu_threads=_threads(),
        processes=processes,
        device=device,
        **{name: _version(name) for name in _PACKAGES},
    )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        if package == "dynvit":  # run from a checkout that is not installed
            from dynvit.version import __version__

            return __version__
        return None


def _threads() -> int:
    # A container's share, where the system tells it; os.cpu_count() would name the whole machine.
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0)) or 1
    return os.cpu_count() or 1


def _cpu_model() -> str | None:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip() or None
    except OSError:
        pass
    return platform.processor() or None
