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
import os, sys
import torch
torch.set_num_threads(1)
from dynvit.registry import load_plugin
load_plugin({HELPERS!r})
from dynvit.training import run
tiny = sys.modules["dynvit_plugin_training_helpers"]
folder, port, world = sys.argv[1], sys.argv[2], int(sys.argv[3])
children = []
for rank in range(world):
    child = os.fork()
    if child == 0:
        if world > 1:
            os.environ |= {{"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world)}}
            os.environ |= {{"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}}
        asked = tiny.request("plain", options={{"dropout": 0.0}}, epochs=2, batch_size=4)
        run.train_to(folder, asked, run.RunSettings(quiet=True))
        os._exit(0)
    children.append(child)
assert all(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0 for child in children)
"""


def train_in(folder: Path, world: int) -> dict[str, torch.Tensor]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", RANKS, str(folder), port, str(world)]
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=300)
    return load_file(folder / "model.safetensors")


def test_two_processes_end_in_the_weights_of_one(tmp_path: Path) -> None:
    one, two = train_in(tmp_path / "one", 1), train_in(tmp_path / "two", 2)
    # Adam divides by the root of tiny second moments: a last bit of a gradient is seen in the fifth digit.
    torch.testing.assert_close(two, one, rtol=1e-3, atol=1e-4)
    assert (tmp_path / "two" / "log.jsonl").read_text().count("\n") == 4
