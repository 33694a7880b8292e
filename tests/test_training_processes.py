"""Two processes train what one does, also where a gate leaves parameters unused on one of them."""

from __future__ import annotations

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
import os, signal, sys
import torch
torch.set_num_threads(1)
from dynvit.registry import load_plugin
load_plugin({HELPERS!r})
from dynvit.training import run
tiny = sys.modules["dynvit_plugin_training_helpers"]
from dynvit.training import running, trainer
folder, port, world, dies = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
trainer.CHECK_EVERY = 3
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
        asked = tiny.request("plain", options={{"dropout": float(sys.argv[5])}}, epochs=2, batch_size=4)
        run.train_to(folder, asked, run.RunSettings(quiet=True, state_every=0))
        os._exit(0)
    children.append(child)
codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
assert codes == [-9 if dies else 0] * world, codes
"""


def train_in(folder: Path, world: int, dies: int = 0, dropout: float = 0.0) -> None:
    """Train in so many processes, all of which are killed at their ``dies``-th step."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", RANKS, *map(str, (folder, port, world, dies, dropout))]
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=300)


def test_two_processes_end_in_the_weights_of_one(tmp_path: Path) -> None:
    for folder, world in (("one", 1), ("two", 2)):
        train_in(tmp_path / folder, world)
    one, two = (load_file(tmp_path / folder / "model.safetensors") for folder in ("one", "two"))
    # Adam divides by the root of tiny second moments: a last bit of a gradient is seen in the fifth digit.
    torch.testing.assert_close(two, one, rtol=1e-3, atol=1e-4)
    assert (tmp_path / "two" / "log.jsonl").read_text().count("\n") == 4


def test_two_processes_killed_within_an_epoch_end_in_the_weights_of_two_that_were_not(tmp_path: Path) -> None:
    train_in(tmp_path / "undisturbed", 2, dropout=0.2)
    for dies in (8, 5, 0):  # of 16 steps an epoch; states follow every third
        train_in(tmp_path / "killed", 2, dies, dropout=0.2)
    weights = [(tmp_path / folder / "model.safetensors").read_bytes() for folder in ("undisturbed", "killed")]
    assert weights[0] == weights[1]
