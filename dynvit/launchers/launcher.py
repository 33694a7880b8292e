"""What a launcher is: jobs go in, a future comes out for each. A job is one command, run as a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_LAST = 400
"""Characters of a log that are looked at for its last line."""
_NOT_THE_JOBS = ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT", "RANK", "WORLD_SIZE", "LOCAL_RANK")
"""Variables of the place where a job runs, which would tell it to do a share of itself."""

_UNTIL_KILLED_S = 120.0
"""Longer than Slurm waits between SIGTERM and SIGKILL, KillWait: 30 s where nobody has set another."""

Started = Callable[["subprocess.Popen[bytes]"], object]


class JobError(Exception):
    """A job ended badly. The message says how, with the last line of its log."""


@dataclass(frozen=True)
class Job:
    """A Python program. ``words`` are the interpreter's arguments; it runs in ``folder``.

    What it prints is added to the file ``log``.
    """

    name: str
    words: tuple[str, ...]
    folder: str
    log: str

    def run(self, started: Started | None = None, variables: Mapping[str, str] | None = None) -> None:
        """Run it to its end, with these environment variables besides. ``started`` is told its process.

        Raises: ``JobError`` where it ends badly.
        """
        self._check(self._exit_code(started, variables or {}))

    def __call__(self) -> None:
        """As ``run``, as a job of Slurm.

        One that Slurm takes its machine from is sent SIGTERM, which ends the program before this process: who said
        now that it had failed would be believed, and not be queued again.
        """
        code = self._exit_code(None, {})
        if code == -signal.SIGTERM:
            time.sleep(_UNTIL_KILLED_S)
        self._check(code)

    def _check(self, code: int) -> None:
        if code:
            how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
            raise JobError(f"it {how}: {_last_line(Path(self.log))}")

    def _exit_code(self, started: Started | None, variables: Mapping[str, str]) -> int:
        log = Path(self.log)
        log.parent.mkdir(parents=True, exist_ok=True)
        environment = {name: value for name, value in os.environ.items() if name not in _NOT_THE_JOBS}
        with log.open("ab") as out:
            process = subprocess.Popen(
                [sys.executable, *self.words],
                cwd=self.folder,
                env={**environment, **variables},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
            if started is not None:
                started(process)
            return process.wait()

    def checkpoint(self) -> Any:
        """What is queued again where Slurm takes the machine away: the same, which goes on from what is on the disk."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


class Launcher(ABC):
    """Runs jobs. A context manager: what is left of it when the block ends is cancelled."""

    @abstractmethod
    def submit(self, jobs: Sequence[Job]) -> list[Future[None]]:
        """Take jobs that may run now. Each future's result is None, or raises what went wrong."""

    @abstractmethod
    def cancel(self) -> None:
        """End what runs, and forget what waits. What was finished is kept by whoever finished it."""

    def __enter__(self) -> Launcher:
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()


def _last_line(log: Path) -> str:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _LAST))
        lines = file.read().decode(errors="replace").split("\n")
    said = next((line.strip() for line in reversed(lines) if line.strip()), "it printed nothing")
    return f"{said} ({log})"
