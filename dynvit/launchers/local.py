"""Jobs as processes of this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from queue import SimpleQueue

from dynvit.launchers.launcher import Job, Launcher

VISIBLE = "CUDA_VISIBLE_DEVICES"
"""What a process takes its devices from; ROCm reads it too."""
_PATIENCE_S = 30.0
"""How long processes may take to end after they were interrupted."""


class LocalLauncher(Launcher):
    """So many processes at a time; each sees one of the ``devices`` alone, where there are any."""

    def __init__(self, count: int, devices: Sequence[str] = ()) -> None:
        self._pool = ThreadPoolExecutor(count, "cell")
        self._slots: SimpleQueue[Mapping[str, str]] = SimpleQueue()
        for slot in range(count):
            self._slots.put({VISIBLE: devices[slot % len(devices)]} if devices else {})
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
            _interrupt(process)
        until = time.monotonic() + _PATIENCE_S
        for process in running:
            try:
                process.wait(max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
        self._pool.shutdown(wait=True)

    def _run(self, job: Job) -> None:
        started: list[subprocess.Popen[bytes]] = []

        def know(process: subprocess.Popen[bytes]) -> None:
            started.append(process)
            self._running.add(process)
            if self._ended:  # cancelled while it started
                _interrupt(process)

        slot = self._slots.get()
        try:
            job.run(know, slot)
        finally:
            self._slots.put(slot)
            self._running.difference_update(started)


def devices_here() -> list[str]:
    """The GPUs that this process may use, by the names that a process takes them by.

    >>> from unittest.mock import patch
    >>> with patch.dict(os.environ, {VISIBLE: "2, GPU-7f"}):
    ...     devices_here()
    ['2', 'GPU-7f']
    """
    given = os.environ.get(VISIBLE)
    if given is not None:
        return [name.strip() for name in given.split(",") if name.strip()]
    import torch

    return [str(index) for index in range(torch.cuda.device_count())]


def _interrupt(process: subprocess.Popen[bytes]) -> None:
    """As Ctrl-C, which a program in the background of a script ignores, and so do those that it starts."""
    ignored = signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    with suppress(OSError):
        process.send_signal(signal.SIGTERM if ignored else signal.SIGINT)
