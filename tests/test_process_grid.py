"""However many processes, shards and workers read a split: the same images, each once, and the same results."""

from __future__ import annotations

import itertools
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import timm
from bench_helpers import recorded
from data_helpers import PLAIN, write_dataset

from dynvit.data import open_split
from dynvit.data.pixels import PixelBatches
from dynvit.data.source import ImageSource
from dynvit.measurements.accuracy.evaluate import SampleResults

IMAGES = 21
SHARDS = (1, 2, 5, 7)


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """The same images in so many shards."""
    root = tmp_path_factory.mktemp("sets")
    return {n: write_dataset(root / str(n), {"train": 40, "validation": IMAGES}, shards=n) for n in SHARDS}


def results(source: ImageSource, world: int, workers: int, batch_size: int) -> tuple[SampleResults, int]:
    """What so many ranks gather, and how many images they decoded; a sum of pixels stands for a model."""
    parts, decoded = [], 0
    for rank in range(world):
        batches = PixelBatches(source, PLAIN, batch_size=batch_size, workers=workers, rank=rank, world=world)
        ids: list[str] = []
        sums: list[int] = []
        labels: list[int] = []
        for batch in batches:
            ids += batch.ids
            sums += batch.images.long().sum((1, 2, 3)).tolist()
            labels += batch.labels.tolist()
        parts.append(SampleResults(tuple(ids), np.array(labels, np.int64), np.array(sums, np.float64), 0.0))
        decoded += batches.decoded
    return parts[0].merged(parts[1:]), decoded


def same(one: SampleResults, other: SampleResults) -> bool:
    return one.ids == other.ids and (one.rank == other.rank).all() and bool((one.macs == other.macs).all())


@pytest.mark.parametrize(("workers", "batch_size"), [(0, 1), (0, 4), (0, 64), (2, 4)])
def test_every_cell_of_the_grid_gathers_what_one_process_reads(
    sets: dict[int, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int, batch_size: int
) -> None:
    monkeypatch.setenv("DYNVIT_CACHE", str(tmp_path))
    expected, _ = results(open_split("cifar10", "validation", data_dir=sets[1]), 1, 0, batch_size)
    assert expected.ids == tuple(f"validation{n:04d}" for n in range(IMAGES))
    for shards, world in itertools.product(SHARDS, (1, 2, 3, 4)):
        source = open_split("cifar10", "validation", data_dir=sets[shards])
        found, decoded = results(source, world, workers, batch_size)
        assert same(found, expected), f"{world} processes, {shards} shards"
        assert decoded == IMAGES


# A process imports torch and forks its ranks, in the environment that torchrun gives.
CELLS = """
import os, sys
sys.path.insert(0, sys.argv[1])
import torch
torch.set_num_threads(1)
import dynvit.benchmark.run, dynvit_methods.dense, dynvit_methods.topk
from bench_helpers import run_bench
root, weights = sys.argv[2], sys.argv[3]
for cell in sys.argv[4:]:
    world, shards, workers, port = map(int, cell.split(","))
    children = []
    for rank in range(world):
        child = os.fork()
        if child == 0:
            os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world)}
            os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
            run_bench(None, {
                "methods": ("dense", "topk"), "dataset": "cifar10", "data_dir": f"{root}/{shards}",
                "backbone": "vit_digits", "weights": weights, "train": False, "device": "cpu", "points": 2,
                "batch_size": 4, "workers": workers, "output": f"out/{world}-{shards}-{workers}",
            })
            os._exit(0)
        children.append(child)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    assert codes == [0] * world, (cell, codes)
"""


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.mark.slow
def test_the_corners_of_the_grid_record_the_same_with_real_processes(sets: dict[int, Path], tmp_path: Path) -> None:
    weights = tmp_path / "drawn.safetensors"
    safetensors.torch.save_file(timm.create_model("vit_digits", num_classes=10).state_dict(), weights)
    cells = [(1, 1, 0), (2, 5, 2), (3, 7, 0), (4, 1, 0), (4, 2, 2)]
    given = [",".join(map(str, (*cell, _free_port()))) for cell in cells]
    command = [sys.executable, "-c", CELLS, str(Path(__file__).parent), str(sets[1].parent), str(weights), *given]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "DYNVIT_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr[-2000:]
    first, *others = [recorded(tmp_path / "out" / "-".join(map(str, cell))) for cell in cells]
    assert len(first) == 3
    assert all(other == first for other in others)
