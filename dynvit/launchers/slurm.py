"""Jobs as tasks of Slurm arrays, by submitit."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any

from dynvit.errors import InputError, install
from dynvit.launchers.launcher import Job, JobError, Launcher

_BETWEEN_LOOKS_S = 2.0
_MISSED = 5
"""Looks without a job before it is given up: its result may need a moment to be seen on a shared disk."""


class SlurmLauncher(Launcher):
    """Jobs that are handed in together are one array, of which at most ``parallel`` run at a time.

    ``folder`` must be one that all machines see: pickled jobs and submitit's logs lie there. ``options`` are sbatch's,
    by their names: partition, time, gres.
    """

    def __init__(self, folder: Path, parallel: int, options: Mapping[str, str]) -> None:
        try:
            import submitit
        except ImportError as error:
            raise InputError(f"--launcher slurm needs submitit: {install('slurm')}") from error
        try:
            self._executor: Any = submitit.SlurmExecutor(folder=folder)
        except RuntimeError as error:
            raise InputError(f"--launcher slurm: {error}") from error
        # submitit's own limit is five minutes; the partition's holds where nobody gives one.
        self._executor.update_parameters(
            time=None,
            job_name="dynvit",
            array_parallelism=parallel,
            stderr_to_stdout=True,
            additional_parameters={"requeue": True, **options},
        )
        self._jobs: list[tuple[Any, Future[None]]] = []
        self._ended = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="slurm", daemon=True)
        self._watcher.start()

    def submit(self, jobs: Sequence[Job]) -> list[Future[None]]:
        """As ``Launcher``: one array. Raises: ``InputError`` where Slurm refuses it."""
        from submitit.core.utils import FailedJobError

        try:
            with self._executor.batch():
                sent = [self._executor.submit(job) for job in jobs]
        except FailedJobError as error:
            raise InputError(f"Slurm refuses the jobs: {error}; give its options by --slurm NAME=VALUE") from error
        futures: list[Future[None]] = [Future() for _ in sent]
        self._jobs.extend(zip(sent, futures, strict=True))
        return futures

    def cancel(self) -> None:
        """Cancel what runs or is queued."""
        self._ended.set()
        for job, future in self._jobs:
            if not future.done():
                with suppress(Exception):  # it has just ended
                    job.cancel(check=False)
        self._watcher.join()

    def _watch(self) -> None:
        missed: dict[str, int] = {}
        while not self._ended.wait(_BETWEEN_LOOKS_S):
            waiting = [(job, future) for job, future in list(self._jobs) if not future.done()]
            queued = _queued() if waiting else None
            for job, future in waiting:
                if job.done():
                    _settle(job, future)
                elif queued is not None:
                    # Where Slurm keeps no accounts, a job whose process was killed is told by its absence alone.
                    missed[job.job_id] = 0 if job.job_id in queued else missed.get(job.job_id, 0) + 1
                    if missed[job.job_id] >= _MISSED and not job.paths.result_pickle.exists():
                        future.set_exception(JobError(f"Slurm has no job {job.job_id} any more, and it left no result"))


def _queued() -> set[str] | None:
    """The jobs that are queued or run, by id; None where Slurm does not answer."""
    try:
        done = subprocess.run(["squeue", "-h", "-r", "-o", "%i"], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return set(done.stdout.split()) if done.returncode == 0 else None


def _settle(job: Any, future: Future[None]) -> None:
    try:
        fault = job.exception()
    except Exception as error:  # of submitit itself: a job that left no result
        fault = error
    if fault is None:
        future.set_result(None)
    else:
        future.set_exception(fault)
