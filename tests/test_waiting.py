"""A training that another process is at is waited for, and taken up where nobody is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dynvit.benchmark.waiting import train_or_wait
from dynvit.errors import InputError
from dynvit.files import HeldError, is_held, locked

HOLDS = """
import sys, time
from pathlib import Path
from dynvit.files import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def holding(folder: Path, seconds: float) -> subprocess.Popen[str]:
    """A process that has the folder for so long."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(folder), str(seconds)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def train(folder: Path) -> Path:
    with locked(folder):
        return folder


def test_who_comes_later_waits_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = holding(tmp_path / "m", 1)
    assert is_held(tmp_path / "m")
    assert train_or_wait(tmp_path / "m", lambda: train(tmp_path / "m")) == tmp_path / "m"
    assert f"waiting for the training in {tmp_path / 'm'}: process {other.pid} on " in capsys.readouterr().err
    assert other.wait(30) == 0
    assert not is_held(tmp_path / "m")


def test_what_a_killed_process_had_is_taken_up(tmp_path: Path) -> None:
    other = holding(tmp_path / "m", 60)
    other.kill()
    other.wait(30)
    assert not is_held(tmp_path / "m")
    assert train_or_wait(tmp_path / "m", lambda: train(tmp_path / "m")) == tmp_path / "m"


def test_what_is_wrong_with_a_training_is_said_and_not_waited_for(tmp_path: Path) -> None:
    def refuse() -> Path:
        raise InputError("a loss that is not finite")

    with pytest.raises(InputError, match="not finite"):
        train_or_wait(tmp_path / "m", refuse)


def test_a_finished_training_that_is_another_is_refused_and_not_asked_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = 0

    def refuse() -> Path:
        nonlocal tries
        tries += 1
        raise InputError("holds another training")

    monkeypatch.setattr("dynvit.benchmark.waiting.is_checkpoint", lambda _: True)
    with pytest.raises(InputError, match="another training"):
        train_or_wait(tmp_path / "m", refuse)
    assert tries == 2  # another process may just have finished it


def test_the_processes_of_one_run_do_not_wait_for_another_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    other = holding(tmp_path / "m", 60)
    with pytest.raises(HeldError):
        train_or_wait(tmp_path / "m", lambda: train(tmp_path / "m"))
    other.kill()
    other.wait(30)
