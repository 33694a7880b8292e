"""Jobs as processes of this machine."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress

from dynvit.launchers.launcher import Job, Launcher

_PATIENCE_S = 30.0
"""How long a process may take to end after it was interrupted."""


class LocalLauncher(Launcher):
    """So many processes at a time."""

    def __init__(self, count: int) -> None:
        self._pool = ThreadPoolExecutor(count, "cell")
        self._running: set[subprocess.Popen[bytes]] = set()
        self._ended = False

    def submit(self, jobs: Sequence[Job]) -> list[Future[None]]:
        """As ``Launcher``: a thread of the pool waits for each process."""
        return [self._pool.submit(self._run, job) for job in jobs]

    def cancel(self) -> None:
        """Interrupt what runs, as Ctrl-C would, and wait for it."""
        self._ended = True
        self._pool.shutdown(wait=False, cancel_futures=True)
        running = list(self._running)
        for process in running:
            with suppress(OSError):
                process.send_signal(signal.SIGINT)
        for process in running:
            try:
                process.wait(_PATIENCE_S)
            except subprocess.TimeoutExpired:
                process.kill()
        self._pool.shutdown(wait=True)

    def _run(self, job: Job) -> None:
        started: list[subprocess.Popen[bytes]] = []

        def know(process: subprocess.Popen[bytes]) -> None:
            started.append(process)
            self._running.add(process)
            if self._ended:  # cancelled while it started
                process.send_signal(signal.SIGINT)

        try:
            job.run(know)
        finally:
            self._running.difference_update(started)
