"""DVT's speed against the dense backbone, and its share of the theoretical speed-up, of MACs.

    python benchmarks/dvt_speed.py                  # DeiT-S, batch 16, float32, exits 1, 1+2, 1+2+3
    python benchmarks/dvt_speed.py --mix            # batch 64, a third of the images leaving at each exit

Timing is interleaved, and the median of the valid rounds is printed (``dynvit.measurements.speed.interleaved``; the
published code was measured so too).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import timm
import torch
from _measure import Comparison, interleaved, run
from timm.models import create_model

import dynvit.backbones.t2t  # noqa: F401 - registers T2T-ViT
from dynvit import cost
from dynvit.errors import InputError
from dynvit.interface import OperatingPoint
from dynvit_methods.dvt.cascade import Cascade
from dynvit_methods.dvt.options import DVTOptions


def show(name: str, times: Comparison, theoretical: float) -> None:
    print(
        f"{name:36} {times}×, {len(times.valid)} valid rounds of {len(times.rounds)}   "
        f"theoretical {theoretical:.3f}×   share {times.speedup / theoretical:.2f}"
    )


def against_dense(name: str, batch: int, rounds: int, clock: Callable[[], float]) -> None:
    torch.manual_seed(0)
    dense = timm.create_model(name).eval()
    cascade = Cascade(create_model(name), DVTOptions()).eval()
    whole = Cascade(create_model(name), DVTOptions(last_block="all")).exit_macs()
    images = torch.rand(batch, 3, 224, 224)
    macs = cost.count_executed(lambda: dense(images[:1]))
    points = [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0)]
    with torch.inference_mode():
        for exits, (first, second) in enumerate(points):
            point = OperatingPoint(threshold_1=first, threshold_2=second)
            ours = partial(cascade.predict, images, point)
            times = interleaved(lambda: dense(images), ours, rounds=rounds, most=4 * rounds, clock=clock)
            show(f"{name}, {exits + 1} of 3 exits", times, macs / whole[exits])


def mixed(name: str, batch: int, rounds: int) -> None:
    """All images through all exits, against a third leaving at each: the control criterion draws them."""
    torch.manual_seed(0)
    cascade = Cascade(create_model(name), DVTOptions(criterion="random")).eval()
    images = torch.rand(batch, 3, 224, 224)
    everything = OperatingPoint(threshold_1=1.0, threshold_2=1.0)
    with torch.inference_mode():
        scores = cascade.predict(images, everything).scores
        first = float(scores[0].sort().values[batch - batch // 3 - 1 : batch - batch // 3 + 1].mean())
        left = scores[1][scores[0] < first]
        second = float(left.sort().values[len(left) // 2 - 1 : len(left) // 2 + 1].mean())
        point = OperatingPoint(threshold_1=first, threshold_2=second)
        usage = cascade.predict(images, point).usage
        theoretical = cascade.exit_macs()[-1] / float(cost.macs(usage).double().mean())
        assert usage.exit is not None
        print("images at each exit:", torch.bincount(usage.exit, minlength=3).tolist())
        all_exits, mix = partial(cascade.predict, images, everything), partial(cascade.predict, images, point)
        times = interleaved(all_exits, mix, rounds=rounds, most=4 * rounds)
        show(f"{name}, a third at each", times, theoretical)


def main(
    backbone: str = "deit_small_patch16_224",
    rounds: int = 7,
    batch: int | None = None,
    threads: int = 2,
    mix: bool = False,
    processor_time: bool = False,
) -> None:
    """Time every exit on --batch images (default: 16), or with --mix a third of them (of 64) leaving at each.

    --threads is how many torch computes with, in this process. Beside another process that computes, give as many as
    there are idle cores: two threads on one tell nothing (0.30 of the theoretical at exit 1, and 1.1 alone).

    --processor-time counts what one thread really got of a processor: for a machine that others keep busy.
    """
    if processor_time and (threads != 1 or mix):
        raise InputError("--processor-time adds up over threads, and --mix knows none: give --threads 1")
    clock = time.process_time if processor_time else time.perf_counter
    torch.set_num_threads(threads)
    if mix:
        mixed(backbone, batch or 64, rounds)
    else:
        against_dense(backbone, batch or 16, rounds, clock)


if __name__ == "__main__":
    run(main)
