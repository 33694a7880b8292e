"""A killed training continues as if nothing had happened."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from training_helpers import request, weights_of

from dynvit.checkpoint import load
from dynvit.errors import InputError
from dynvit.training.run import LOG, STATE, RunSettings, train_to

HELPERS = str(Path(__file__).with_name("training_helpers.py"))
QUIET = RunSettings(state_every=0, quiet=True)

# One import of torch, then a fork for each life: the first ones are killed, inside a step, while a state is on its
# way to the disk, and just after.
KILLED = f"""
import os, signal, sys
import torch
torch.set_num_threads(1)
from dynvit.registry import load_plugin
load_plugin({HELPERS!r})
from dynvit.training import running, run, state
tiny = sys.modules["dynvit_plugin_training_helpers"]

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

def counted(function, at):
    calls = 0
    def call(*arguments, **more):
        nonlocal calls
        calls += 1
        if calls == at:
            die()
        return function(*arguments, **more)
    return call

def live(folder, step=0, write=0):
    child = os.fork()
    if child == 0:
        running.RunningStage.step = counted(running.RunningStage.step, step)
        if write:
            torch.save = counted(torch.save, write)
        run.train_to(folder, tiny.request(), run.RunSettings(state_every=0, quiet=True))
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

undisturbed, killed = sys.argv[1:]
codes = [live(undisturbed)]
codes += [live(killed, step=3), live(killed, step=7), live(killed, write=2), live(killed, step=6), live(killed)]
print(codes)
"""


@pytest.mark.slow
def test_weights_after_kills_are_those_of_an_undisturbed_run(tmp_path: Path) -> None:
    folders = tmp_path / "undisturbed", tmp_path / "killed"
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", KILLED, *map(str, folders)], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split("[")[1].rstrip("]\n") == "0, -9, -9, -9, -9, 0"
    assert weights_of(folders[0]) == weights_of(folders[1])
    logs = [[line.partition('"images_per_s"')[0] for line in (f / LOG).open()] for f in folders]
    assert logs[0] == logs[1]
    assert len(logs[0]) == 6
    assert not (folders[1] / STATE).exists()


def test_a_finished_training_is_returned_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train_to(tmp_path / "out", request("plain"), QUIET)
    before = weights_of(tmp_path / "out")
    monkeypatch.setattr("dynvit.training.run.train", None)
    assert train_to(tmp_path / "out", request("plain"), QUIET) == tmp_path / "out"
    assert weights_of(tmp_path / "out") == before
    model, config = load(tmp_path / "out")
    assert (config.training.recipe_name, config.training.epochs, config.training.train_samples) == ("plain", 2, 64)
    assert "held_out_top1_pct" in config.training.metrics
    assert not model.training


def test_a_folder_of_another_training_is_refused_and_left_alone(tmp_path: Path) -> None:
    train_to(tmp_path / "out", request("plain"), QUIET)
    before = weights_of(tmp_path / "out")
    with pytest.raises(InputError, match="another training, with seed 0 where 1 is asked"):
        train_to(tmp_path / "out", request("plain", seed=1), QUIET)
    assert weights_of(tmp_path / "out") == before


def test_a_damaged_state_is_named(tmp_path: Path) -> None:
    (tmp_path / "out" / "state").mkdir(parents=True)
    (tmp_path / "out" / STATE).write_bytes(b"torn")
    with pytest.raises(InputError, match="something else than a training"):
        train_to(tmp_path / "out", request("plain"), QUIET)
