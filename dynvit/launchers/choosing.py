"""A launcher by its name on the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from dynvit.errors import InputError, unknown
from dynvit.launchers.launcher import Launcher

LAUNCHERS = ("local", "slurm", "dask")
PARALLEL = 64
"""Tasks of an array that run at a time, where nobody says how many."""


def check_launcher(name: str, scheduler: str | None, options: Sequence[str]) -> None:
    """Raises: ``InputError`` for a launcher that there is not, or with what it does not take."""
    kind, _ = _parts(name)
    if kind == "dask" and scheduler is None:
        raise InputError("--launcher dask needs a scheduler: give --scheduler tcp://HOST:8786")
    if kind != "dask" and scheduler is not None:
        raise InputError(f"--scheduler belongs to --launcher dask, got --launcher {name}")
    if kind != "slurm" and options:
        raise InputError(f"--slurm belongs to --launcher slurm, got --launcher {name}")
    _sbatch(options)


def make_launcher(
    name: str, folder: Path, scheduler: str | None, options: Sequence[str], device: str = "auto"
) -> Launcher:
    """The launcher of a name: local:N, slurm or slurm:N, dask.

    Args:
        name: as it was given.
        folder: for its files, seen by all machines.
        scheduler: dask's address.
        options: sbatch's, NAME=VALUE each.
        device: what jobs compute on; with ``auto``, processes of one machine share its GPUs out.

    Raises: ``InputError`` for what it cannot be.
    """
    check_launcher(name, scheduler, options)
    kind, count = _parts(name)
    if kind == "local":
        from dynvit.launchers.local import LocalLauncher, devices_here

        return LocalLauncher(count or 1, devices_here() if device == "auto" else ())
    if kind == "slurm":
        from dynvit.launchers.slurm import SlurmLauncher

        return SlurmLauncher(folder, count or PARALLEL, _sbatch(options))
    from dynvit.launchers.dask import DaskLauncher

    return DaskLauncher(scheduler or "")


def _parts(name: str) -> tuple[str, int | None]:
    kind, sign, count = name.partition(":")
    if kind not in LAUNCHERS:
        raise unknown("launcher", kind, LAUNCHERS)
    number = int(count) if count.isascii() and count.isdigit() else 0
    if (sign and (number < 1 or kind == "dask")) or (kind == "local" and not sign):
        raise InputError(f"--launcher must be local:N, slurm, slurm:N or dask, with N from 1, got {name!r}")
    return kind, number or None


def _sbatch(options: Sequence[str]) -> Mapping[str, str]:
    found = {}
    for option in options:
        name, sign, value = option.partition("=")
        if not sign or not name:
            raise InputError(f"--slurm must be an option of sbatch, partition=NAME for one, got {option!r}")
        found[name.removeprefix("--")] = value
    return found
