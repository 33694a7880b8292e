"""What only GPUs can show. Where there are none these tests skip, and say so."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from bench_helpers import bench
from mia_helpers import images, mixed
from safetensors.torch import load_file

GPUS = torch.cuda.device_count() if torch.cuda.is_available() else 0
one_gpu = pytest.mark.skipif(GPUS < 1, reason="no GPU here")
two_gpus = pytest.mark.skipif(GPUS < 2, reason=f"{GPUS} GPUs here, and two are needed")
pytestmark = pytest.mark.slow


@one_gpu
def test_a_bench_on_a_gpu_tells_of_the_models_what_one_on_a_cpu_does(tmp_path: Path) -> None:
    bench(tmp_path / "trained", device="cpu", points=1)
    checkpoints = [f"{name}={tmp_path / 'trained' / 'train' / name}" for name in ("dense", "dynamicvit")]
    on_cpu, on_gpu = (
        bench(tmp_path / device, device=device, method_checkpoint=checkpoints, budgets="0.0015")
        for device in ("cpu", "cuda")
    )
    assert on_cpu.keys() == on_gpu.keys()
    for id_, record in on_cpu.items():
        assert on_gpu[id_]["compute"]["gmacs_mean"] == pytest.approx(record["compute"]["gmacs_mean"], rel=0.01)
        # An image on the edge of two classes may fall to the other.
        assert on_gpu[id_]["accuracy"]["top1_pct"] == pytest.approx(record["accuracy"]["top1_pct"], abs=2)


@one_gpu
@pytest.mark.parametrize(("point", "a_block"), [("neutral", 1), ("trained_point", 2)])
def test_mia_former_waits_for_the_gpu_to_say_which_images_and_parts_run(point: str, a_block: int) -> None:
    model = mixed().to("cuda")
    pixels = images().to("cuda")
    with torch.no_grad():
        model.predict(pixels, getattr(model, point))  # what is made once is made
        torch.cuda.set_sync_debug_mode("warn")
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                model.predict(pixels, getattr(model, point))
        finally:
            torch.cuda.set_sync_debug_mode("default")
    waits = [one for one in caught if "synchronizing operation" in str(one.message)]
    assert len(waits) <= a_block * len(model.controllers)


@two_gpus
def test_two_gpus_end_in_the_weights_of_one(tmp_path: Path) -> None:
    for count in (1, 2):
        launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
        asked = ["train", "--method=dvt", "--epochs=1", "--batch-size=64", f"--output={tmp_path / str(count)}"]
        environment = os.environ | {"CUDA_VISIBLE_DEVICES": ",".join(map(str, range(count)))}
        subprocess.run([sys.executable, *launcher, "-m", "dynvit", *asked], env=environment, check=True)
    one, two = (load_file(tmp_path / str(count) / "model.safetensors") for count in (1, 2))
    torch.testing.assert_close(two, one, rtol=1e-2, atol=1e-3)
