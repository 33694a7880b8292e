"""Cells by a launcher: each is done once, a killed one is tried again, and a hopeless one stops no other."""

from __future__ import annotations

import re
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from launcher_helpers import counts, jobs_in, kill, slurm

from dynvit.benchmark.cells import Cell
from dynvit.benchmark.launching import Launched
from dynvit.errors import InputError
from dynvit.launchers.choosing import check_launcher
from dynvit.launchers.launcher import Job, Launcher
from dynvit.launchers.local import VISIBLE, LocalLauncher

CELLS = [
    Cell("train", "a"),
    Cell("train", "b"),
    Cell("accuracy", "c", ("train:a", "train:b")),
    Cell("accuracy", "d", ("train:a",)),
]


def launched(launcher: Launcher, folder: Path, cells: list[Cell], wait_s: float = 0.1, **doomed: str) -> Launched:
    with launcher:
        made = Launched(cells, jobs_in(folder, doomed, wait_s), launcher)
        made.run()
    return made


def test_a_cell_begins_when_what_it_needs_is_done(tmp_path: Path) -> None:
    made = launched(LocalLauncher(2), tmp_path, CELLS)
    assert made.done == {cell.name for cell in CELLS}
    times = {
        path.name.rsplit("-", 1)[0].rsplit("-", 1)[0]: int(path.name.rsplit("-", 1)[1]) for path in _said(tmp_path)
    }
    assert times["begun-c"] > max(times["done-a"], times["done-b"])
    assert times["begun-d"] > times["done-a"]


def _said(folder: Path) -> list[Path]:
    return [*folder.glob("begun-*"), *folder.glob("done-*")]


def test_a_killed_cell_is_tried_once_more(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = launched(LocalLauncher(2), tmp_path, CELLS, b="self")
    assert made.done == {cell.name for cell in CELLS}
    assert counts(tmp_path, "begun") == {"a": 1, "b": 2, "c": 1, "d": 1}
    assert counts(tmp_path, "done") == {"a": 1, "b": 1, "c": 1, "d": 1}
    assert "cell train:b failed, and is tried once more: it was ended by signal 9" in capsys.readouterr().err


def test_a_hopeless_cell_is_named_and_the_others_go_on(tmp_path: Path) -> None:
    made = launched(LocalLauncher(2), tmp_path, CELLS, b="always")
    assert made.done == {"train:a", "accuracy:d"}
    assert made.left_out == ["accuracy:c"]
    assert re.search(r"ended with exit code 1: it cannot be done \(.*b\.log\)", made.failed["train:b"])
    assert counts(tmp_path, "begun")["b"] == 2


def test_what_is_done_is_not_begun(tmp_path: Path) -> None:
    with LocalLauncher(1) as launcher:
        Launched(CELLS, jobs_in(tmp_path, {}), launcher, {"train:a", "train:b"}).run()
    assert counts(tmp_path, "begun") == {"c": 1, "d": 1}


def test_what_is_left_is_interrupted_when_the_launcher_ends(tmp_path: Path) -> None:
    cells = [Cell("train", name) for name in ("a", "b", "e")]
    with LocalLauncher(2) as launcher:
        futures = launcher.submit([jobs_in(tmp_path, {}, 60)(cell) for cell in cells])
        _until(lambda: len(counts(tmp_path, "begun")) == 2)
        began = time.monotonic()
    assert time.monotonic() - began < 20
    assert all(future.done() for future in futures)
    assert counts(tmp_path, "done") == {}


@pytest.mark.parametrize(("devices", "seen"), [(("3", "GPU-5"), {"3", "GPU-5"}), (("3",), {"3"}), ((), {"none"})])
def test_cells_at_a_time_have_a_gpu_each(
    devices: tuple[str, ...], seen: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VISIBLE, "none")
    script = f"import os, time; print(os.environ[{VISIBLE!r}]); time.sleep(0.3)"
    cells = [Cell("train", name) for name in "abcd"]
    with LocalLauncher(2, devices) as launcher:
        jobs = [Job(cell.name, ("-c", script), str(tmp_path), str(tmp_path / cell.label)) for cell in cells]
        for future in launcher.submit(jobs):
            future.result(60)
    assert {(tmp_path / cell.label).read_text().strip() for cell in cells} == seen


@pytest.mark.parametrize(
    ("name", "scheduler", "options", "says"),
    [
        ("locl:2", None, (), "unknown launcher 'locl': did you mean 'local'"),
        ("local", None, (), "local:N"),
        ("local:0", None, (), "got 'local:0'"),
        ("local:two", None, (), "N from 1"),
        ("local:²", None, (), "N from 1"),
        ("slurm:", None, (), "got 'slurm:'"),
        ("dask:2", "tcp://h:1", (), "got 'dask:2'"),
        ("dask", None, (), "give --scheduler"),
        ("slurm", "tcp://h:1", (), "--scheduler belongs to --launcher dask"),
        ("local:2", None, ("time=1",), "--slurm belongs to --launcher slurm"),
        ("slurm", None, ("time",), "partition=NAME for one, got 'time'"),
    ],
)
def test_a_launcher_that_cannot_be_is_refused(
    name: str, scheduler: str | None, options: tuple[str, ...], says: str
) -> None:
    with pytest.raises(InputError, match=re.escape(says)):
        check_launcher(name, scheduler, options)


def _until(holds: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.05)


def _hurry(job: str, holds: Callable[[], bool]) -> None:
    """Slurm lets a job that it queued again wait two minutes, unless it is told otherwise."""
    end = time.monotonic() + 200
    while not holds():
        assert time.monotonic() < end, "it never began again"
        subprocess.run(["scontrol", "update", f"JobId={job}", "StartTime=now"], capture_output=True)
        time.sleep(1)


@pytest.mark.slow
def test_a_dask_worker_that_is_killed_loses_no_cell(tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed", reason="dask.distributed is not installed: dynvit[dask]")
    from dynvit.launchers.dask import DaskLauncher

    cells = [Cell("train", f"c{number}") for number in range(12)]
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1"
    ) as cluster:

        def kill_one() -> None:
            _until(lambda: len(counts(tmp_path, "done")) >= 3)
            kill(next(iter(cluster.workers.values())).pid)

        killer = threading.Thread(target=kill_one)
        killer.start()
        made = launched(DaskLauncher(cluster.scheduler_address), tmp_path, cells, 0.5, c5="self")
        killer.join()
    assert made.done == {cell.name for cell in cells}
    assert not made.failed
    assert set(counts(tmp_path, "done")) == {cell.label for cell in cells}


@pytest.mark.slow
def test_a_scheduler_that_is_not_there_is_named() -> None:
    pytest.importorskip("distributed", reason="dask.distributed is not installed: dynvit[dask]")
    from dynvit.launchers import dask

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dask, "_PATIENCE", "1s")
        with pytest.raises(InputError, match=r"must be a running dask scheduler, got 'tcp://127\.0\.0\.1:9'"):
            dask.DaskLauncher("tcp://127.0.0.1:9")


@pytest.mark.slow
def test_sixty_four_cells_on_a_slurm_of_two_slots_are_done_once_each_with_three_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("submitit", reason="submitit is not installed: dynvit[slurm]")
    from dynvit.launchers.slurm import SlurmLauncher

    cells = [Cell("train", f"c{number}") for number in range(64)]
    with slurm(tmp_path / "slurm") as config:
        monkeypatch.setenv("SLURM_CONF", str(config))
        launcher = SlurmLauncher(tmp_path / "jobs", 2, {})
        made = launched(launcher, tmp_path, cells, 0.1, c7="self", c30="self", c63="self")
    assert not made.failed
    assert made.done == {cell.name for cell in cells}
    assert counts(tmp_path, "done") == {cell.label: 1 for cell in cells}
    begun = counts(tmp_path, "begun")
    assert {name for name, times in begun.items() if times == 2} == {"c7", "c30", "c63"}
    assert (tmp_path / "c30.log").read_text().split() == ["begun", "c30"] * 2


@pytest.mark.slow
def test_a_job_that_slurm_queues_again_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("submitit", reason="submitit is not installed: dynvit[slurm]")
    from dynvit.launchers.slurm import SlurmLauncher

    with slurm(tmp_path / "slurm") as config:
        monkeypatch.setenv("SLURM_CONF", str(config))
        with SlurmLauncher(tmp_path / "jobs", 2, {}) as launcher:
            [future] = launcher.submit([jobs_in(tmp_path, {}, 5)(Cell("train", "a"))])
            _until(lambda: counts(tmp_path, "begun") == {"a": 1})
            [job] = subprocess.run(
                ["squeue", "-h", "-o", "%A"], capture_output=True, text=True, check=True
            ).stdout.split()
            subprocess.run(["scontrol", "requeue", job], check=True)
            _hurry(job, lambda: counts(tmp_path, "begun") == {"a": 2})
            assert future.result(300) is None
    assert counts(tmp_path, "begun") == {"a": 2}
    assert counts(tmp_path, "done") == {"a": 1}


@pytest.mark.slow
def test_a_job_of_slurm_that_left_no_result_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("submitit", reason="submitit is not installed: dynvit[slurm]")
    from dynvit.launchers.slurm import SlurmLauncher

    with slurm(tmp_path / "slurm") as config:
        monkeypatch.setenv("SLURM_CONF", str(config))
        with SlurmLauncher(tmp_path / "jobs", 2, {}) as launcher:
            [future] = launcher.submit([jobs_in(tmp_path, {}, 60)(Cell("train", "a"))])
            _until(lambda: counts(tmp_path, "begun") == {"a": 1})
            [begun] = tmp_path.glob("begun-*")
            own = int(begun.name.split("-")[2])
            parent = int(Path(f"/proc/{own}/stat").read_text().rpartition(")")[2].split()[1])
            kill(parent)
            kill(own)
            fault = future.exception(120)
    assert fault is not None
    assert re.search("left no result|no job|has not produced any output", str(fault))
