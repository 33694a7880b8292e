"""What a launcher adds to the time of its cells, which wait a known time; processes here, or a dask cluster of its own.

The overhead is the time in which slots were at no cell's work: the start of a process for each, and what the launcher
needs between one and the next. Beside it stands what dynvit itself takes to be imported, once a cell.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from _measure import Row, report, run

from dynvit.benchmark.cells import Cell
from dynvit.benchmark.launching import Launched
from dynvit.launchers.launcher import Job, Launcher
from dynvit.launchers.local import LocalLauncher


@contextmanager
def launcher_of(kind: str, slots: int) -> Iterator[Launcher]:
    """The launcher, on a cluster of its own where it needs one."""
    if kind == "local":
        yield LocalLauncher(slots)
        return
    from distributed import LocalCluster

    from dynvit.launchers.dask import DaskLauncher

    with LocalCluster(n_workers=slots, threads_per_worker=1, dashboard_address=None, host="127.0.0.1") as cluster:
        yield DaskLauncher(cluster.scheduler_address)


def measured(kind: str, cells: int, seconds: float, slots: int) -> float:
    """Seconds from the first cell's submission to the last one's end."""
    planned = [Cell("train", f"c{number}") for number in range(cells)]
    with tempfile.TemporaryDirectory() as folder, launcher_of(kind, slots) as launcher, launcher:
        words = ("-c", f"import time; time.sleep({seconds})")
        launched = Launched(planned, lambda cell: Job(cell.name, words, folder, f"{folder}/{cell.label}.log"), launcher)
        start = time.perf_counter()
        launched.run()
        took = time.perf_counter() - start
    assert not launched.failed, launched.failed
    return took


def importing() -> float:
    """Seconds that a process of dynvit takes before it does anything."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import dynvit.api.dividing"], check=True, cwd=Path.cwd())
    return time.perf_counter() - start


def main(launcher: str = "local", cells: int = 16, seconds: float = 10.0, slots: int = 2) -> None:
    """Run cells that wait, and tell the launcher's overhead."""
    took = measured(launcher, cells, seconds, slots)
    work = cells * seconds
    idle = took * slots - work
    rows = [
        Row("from the first to the last", f"{took:.1f} s"),
        Row("overhead", f"{100 * idle / work:.1f} %, {idle / cells:.2f} s a cell", "under 5 %", idle < 0.05 * work),
        Row("importing dynvit", f"{importing():.1f} s"),
    ]
    report(f"{launcher}: {cells} cells of {seconds:g} s on {slots} slots", rows)


if __name__ == "__main__":
    run(main)
