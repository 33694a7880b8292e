"""A bench that is killed and run again, or run by several processes, ends in the same records."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from bench_helpers import SMALL, bench_in_process, recorded, records

KILLS = 20
OPTIONS: dict[str, Any] = {**SMALL, "epochs": 4}


@pytest.mark.slow
def test_twenty_kills_end_in_the_records_of_an_undisturbed_run(tmp_path: Path) -> None:
    # A server that has torch and timm imported forks each bench at once: time goes to killing, not to importing.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["dynvit.benchmark.run", "dynvit_methods.dynamicvit"])
    log = str(tmp_path / "log.txt")

    def start(folder: Path) -> multiprocessing.process.BaseProcess:
        process = context.Process(target=bench_in_process, args=(str(folder), log, OPTIONS))
        process.start()
        return process

    calm = start(tmp_path / "calm")
    calm.join(600)
    assert calm.exitcode == 0, Path(log).read_text()
    lengths = random.Random(0)
    kills = 0
    while kills < KILLS:
        process = start(tmp_path / "disturbed")
        # Soon enough to hit a start, late enough to hit training and sweep; a run that ends first begins anew.
        process.join(lengths.uniform(0.5, 6.0))
        if process.exitcode is not None:
            assert process.exitcode == 0, Path(log).read_text()
            assert recorded(tmp_path / "disturbed") == recorded(tmp_path / "calm")
            (tmp_path / "disturbed").rename(tmp_path / f"done-{kills}")
            continue
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        kills += 1
    last = start(tmp_path / "disturbed")
    last.join(600)
    assert last.exitcode == 0, Path(log).read_text()
    assert recorded(tmp_path / "disturbed") == recorded(tmp_path / "calm")


@pytest.mark.slow
def test_two_processes_record_what_one_does(tmp_path: Path) -> None:
    options = ["--methods", "dense,random,topk", "--epochs", "2", "--points", "3", "--batch-size", "16"]
    # Trained once, by one process: two would draw other batches. What is compared is the measuring.
    trained = [sys.executable, "-m", "dynvit", "train", "--method", "dense", "--dataset", "digits"]
    subprocess.run(
        [*trained, "--backbone", "vit_digits", "--epochs", "2", "-o", str(tmp_path / "dense")], check=True, timeout=300
    )
    options += ["--weights", str(tmp_path / "dense"), "--no-train", "--device", "cpu"]
    one = [sys.executable, "-m", "dynvit"]
    # Accelerate's own launcher starts one process, whatever it is told, where there is no accelerator.
    two = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "-m", "dynvit"]
    for folder, launcher in (("one", one), ("two", two)):
        command = [*launcher, "bench", *options, "--output", str(tmp_path / folder)]
        run = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert run.returncode == 0, run.stderr
    assert recorded(tmp_path / "two") == recorded(tmp_path / "one")
    assert len(recorded(tmp_path / "one")) == 7
    assert {record.environment.processes for record in records(tmp_path / "two")} == {2}


@pytest.mark.slow
def test_two_processes_train_and_go_on_to_measure(tmp_path: Path) -> None:
    """The end of a training does not end the group of processes that the bench still needs."""
    options = ["--methods", "dense,dynamicvit", "--epochs", "1", "--points", "2", "--limit", "20", "--device", "cpu"]
    two = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "-m", "dynvit", "bench", *options]
    run = subprocess.run([*two, "-o", str(tmp_path / "out")], capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    assert {record.method.name for record in records(tmp_path / "out")} == {"dense", "dynamicvit"}
    assert (tmp_path / "out" / "leaderboard.json").is_file()
