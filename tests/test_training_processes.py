"""Several processes train what one does, also where a gate leaves parameters unused on some of them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

pytestmark = pytest.mark.slow

HELPERS = str(Path(__file__).with_name("training_helpers.py"))

# One import of torch, then a fork for each rank, in the environment that `accelerate launch` gives.
RANKS = f"""
import json, os, signal, sys
import torch
torch.set_num_threads(1)
from dynvit.registry import load_plugin
load_plugin({HELPERS!r})
from dynvit.training import run
tiny = sys.modules["dynvit_plugin_training_helpers"]
from dynvit.training import running, trainer
folder, port, given = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
world, dies = given["world"], given["dies"]
trainer.CHECK_EVERY = 3
if given["afterwards"]:
    running.RunningStage._average_during_backward = lambda self: None
plain, calls = running.RunningStage.step, 0

def step(self, pieces):
    global calls
    calls += 1
    if calls == dies:
        os.kill(os.getpid(), signal.SIGKILL)
    return plain(self, pieces)

running.RunningStage.step = step
children = []
for rank in range(world):
    child = os.fork()
    if child == 0:
        if world > 1:
            os.environ |= {{"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world)}}
            os.environ |= {{"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}}
        asked = tiny.request("plain", options={{"dropout": given["dropout"]}}, epochs=2, batch_size=given["batch"])
        run.train_to(folder, asked, run.RunSettings(quiet=True, state_every=0, accumulate=given["accumulate"]))
        os._exit(0)
    children.append(child)
codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
assert codes == [-9 if dies else 0] * world, codes
"""


def train_in(
    folder: Path,
    world: int,
    *,
    dies: int = 0,
    dropout: float = 0.0,
    batch: int = 4,
    accumulate: int = 1,
    afterwards: bool = False,
) -> None:
    """Train in so many processes.

    Args:
        folder: where.
        world: processes.
        dies: the step at which all of them are killed; 0 for none.
        dropout: of the model, which then draws.
        batch: images a step of all processes.
        accumulate: pieces of a process's batch.
        afterwards: whether gradients are averaged after the backward pass.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    given = {"world": world, "dies": dies, "dropout": dropout, "batch": batch}
    given |= {"accumulate": accumulate, "afterwards": afterwards}
    command = [sys.executable, "-c", RANKS, str(folder), port, json.dumps(given)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert not done.stderr, done.stderr


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    """What one process ends in."""
    folder = tmp_path_factory.mktemp("one")
    train_in(folder, 1, batch=12)
    return load_file(folder / "model.safetensors")


@pytest.mark.parametrize("world", [2, 3, 4])
def test_several_processes_end_in_the_weights_of_one(world: int, one: dict[str, torch.Tensor], tmp_path: Path) -> None:
    train_in(tmp_path, world, batch=12)
    several = load_file(tmp_path / "model.safetensors")
    # Adam divides by the root of tiny second moments: a last bit of a gradient is seen in the fifth digit.
    torch.testing.assert_close(several, one, rtol=1e-3, atol=1e-4)
    assert (tmp_path / "log.jsonl").read_text().count("\n") == 4


def test_gradients_averaged_during_the_backward_pass_are_those_averaged_after_it(tmp_path: Path) -> None:
    for afterwards in (False, True):
        train_in(tmp_path / str(afterwards), 2, batch=8, accumulate=2, afterwards=afterwards)
    weights = [(tmp_path / str(afterwards) / "model.safetensors").read_bytes() for afterwards in (False, True)]
    assert weights[0] == weights[1]


@pytest.mark.parametrize("world", [2, 3])
def test_processes_killed_within_an_epoch_end_in_the_weights_of_those_that_were_not(world: int, tmp_path: Path) -> None:
    train_in(tmp_path / "undisturbed", world, dropout=0.2, batch=2 * world)
    for dies in (8, 5, 0):  # of 16 or 10 steps an epoch; states follow every third
        train_in(tmp_path / "killed", world, dies=dies, dropout=0.2, batch=2 * world)
    weights = [(tmp_path / folder / "model.safetensors").read_bytes() for folder in ("undisturbed", "killed")]
    assert weights[0] == weights[1]
