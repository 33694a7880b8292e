"""Jobs on the workers of a dask scheduler."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

from dynvit.errors import InputError, install
from dynvit.launchers.launcher import Job, Launcher

_PATIENCE = "20s"


class DaskLauncher(Launcher):
    """A job of a worker that is lost goes to another; each worker runs as many at a time as it has threads."""

    def __init__(self, address: str) -> None:
        try:
            from distributed import Client
        except ImportError as error:
            raise InputError(f"--launcher dask needs dask.distributed: {install('dask')}") from error
        try:
            self._client: Any = Client(address, timeout=_PATIENCE, set_as_default=False)
        except (OSError, ValueError) as error:
            raise InputError(f"--scheduler must be a running dask scheduler, got {address!r}: {error}") from error
        self._executor = self._client.get_executor(pure=False)

    def submit(self, jobs: Sequence[Job]) -> list[Future[None]]:
        """As ``Launcher``."""
        return [self._executor.submit(_run, job) for job in jobs]

    def cancel(self) -> None:
        """Forget what waits; a process that a worker runs already goes on to its end."""
        with suppress(Exception):  # a scheduler that has gone has nothing left to forget
            self._executor.shutdown(wait=False)
        self._client.close()


def _run(job: Job) -> None:
    job.run()
