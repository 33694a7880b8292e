"""Jobs as tasks of Slurm arrays, by submitit."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any

from dynvit.errors import InputError
from dynvit.launchers.launcher import Job, Launcher

_BETWEEN_LOOKS_S = 2.0


class SlurmLauncher(Launcher):
    """Jobs that are handed in together are one array, of which at most ``parallel`` run at a time.

    ``folder`` must be one that all machines see: pickled jobs and submitit's logs lie there. ``options`` are sbatch's,
    by their names: partition, time, gres.
    """

    def __init__(self, folder: Path, parallel: int, options: Mapping[str, str]) -> None:
        try:
            import submitit
        except ImportError as error:
            raise InputError("--launcher slurm needs submitit: pip install dynvit[slurm]") from error
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
        while not self._ended.wait(_BETWEEN_LOOKS_S):
            for job, future in list(self._jobs):
                if not future.done() and job.done():
                    _settle(job, future)


def _settle(job: Any, future: Future[None]) -> None:
    try:
        fault = job.exception()
    except Exception as error:  # of submitit itself: a job that left no result
        fault = error
    if fault is None:
        future.set_result(None)
    else:
        future.set_exception(fault)
