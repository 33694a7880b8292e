"""A killed training continues as if nothing had happened."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from training_helpers import (
    Noise,
    TinyModel,
    TinyOptions,
    accelerator,
    branch,
    request,
    stage,
    train_through_kills,
    weights_of,
)

from dynvit.backbones.build import BackboneSpec, build
from dynvit.checkpoint import load
from dynvit.data.training import TrainingBatches
from dynvit.errors import InputError
from dynvit.interface import Batch, Losses, Recipe
from dynvit.training.meter import Meter
from dynvit.training.position import Position
from dynvit.training.run import LOG, STATE, RunSettings, train_to
from dynvit.training.running import RunningStage
from dynvit.training.state import State
from dynvit.training.trainer import TrainerSettings, train

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


def log_of(folder: Path) -> list[str]:
    """The log without what a clock says."""
    entries = [json.loads(line) for line in (folder / LOG).open()]
    return [str({k: v for k, v in entry.items() if k not in ("images_per_s", "seconds")}) for entry in entries]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_to(tmp_path_factory.mktemp("undisturbed") / "out", request(), RunSettings(quiet=True))


def test_a_training_that_is_killed_within_an_epoch_goes_on_at_its_next_step(
    tmp_path: Path, undisturbed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, seen = TrainingBatches.epoch, 0

    def counted(self: TrainingBatches, epoch: int, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        nonlocal seen
        for batch in plain(self, epoch, start):
            seen += 1
            yield batch

    monkeypatch.setattr(TrainingBatches, "epoch", counted)
    train_through_kills(monkeypatch, tmp_path / "out", request(), [2, 5, 6, 12, 20], QUIET)
    assert seen == 24 + 5  # four steps, three epochs, two stages; of each death the step that it met
    assert weights_of(tmp_path / "out") == weights_of(undisturbed)
    assert log_of(tmp_path / "out") == log_of(undisturbed)


def test_states_within_an_epoch_are_as_many_minutes_apart_as_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, written = 0.0, []
    plain = RunningStage.step

    def step(self: RunningStage, pieces: Sequence[Batch]) -> Losses:
        nonlocal now
        now += 50
        return plain(self, pieces)

    monkeypatch.setattr(RunningStage, "step", step)
    monkeypatch.setattr("dynvit.training.trainer.time.monotonic", lambda: now)
    monkeypatch.setattr(State, "write", lambda self, path: written.append(self.within and self.within.steps))
    settings = TrainerSettings(classes=10, quiet=True, state=tmp_path / "state.pt", state_every=120)
    model = TinyModel(build(BackboneSpec("vit_digits", num_classes=10)), TinyOptions())
    summary = train(model, [stage("branch", 2, branch)], Recipe(2, 8, 1e-3), Noise(steps=7), settings, accelerator())
    assert written == [3, 6, None, 3, 6, None]
    assert [entry.seconds for entry in summary.history] == [350, 350]


def test_a_state_of_before_states_within_epochs_is_gone_on_from(
    tmp_path: Path, undisturbed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dynvit.training.trainer._Training._state_due", lambda *_: False)
    plain = torch.save

    def old(body: dict[str, object], file: object) -> None:
        plain({name: value for name, value in body.items() if name not in ("within", "step_gmacs")}, file)  # type: ignore[arg-type]

    monkeypatch.setattr(torch, "save", old)
    train_through_kills(monkeypatch, tmp_path / "out", request(), [7, 11], QUIET)
    assert weights_of(tmp_path / "out") == weights_of(undisturbed)


def test_random_states_of_more_processes_are_not_taken_for_those_of_fewer() -> None:
    alone = Position.reached(3, 0.0, Meter(accelerator()), accelerator())
    before = torch.get_rng_state()
    assert not replace(alone, random=alone.random * 2).restore_random(accelerator())
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.slow
def test_weights_after_kills_are_those_of_an_undisturbed_run(tmp_path: Path) -> None:
    folders = tmp_path / "undisturbed", tmp_path / "killed"
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", KILLED, *map(str, folders)], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split("[")[1].rstrip("]\n") == "0, -9, -9, -9, -9, 0"
    assert weights_of(folders[0]) == weights_of(folders[1])
    assert log_of(folders[0]) == log_of(folders[1])
    assert len(log_of(folders[0])) == 6
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
