"""How much of its theoretical speed-up, of MACs, a method's ``predict`` realises against dense in the same run.

    python benchmarks/speed.py [--method topk] [--keep-ratio 0.7 | --knob r=13] [--batch-size 1] [--threads 1]
    python benchmarks/speed.py --method thinkingvit --budget 3.5      # thresholds at which half of the images leave

float32 on the CPU, drawn weights: methods that keep a fixed number of tokens work alike on any. The two are
interleaved, and only valid rounds count. DynamicViT's published code gives 1.45 of 1.54, 0.94, on two cores.
"""

from __future__ import annotations

import time
from functools import partial

import torch
from _measure import Row, interleaved, report, rounds_row, run
from _models import drawn, point_at
from _products import products

from dynvit import cost
from dynvit.errors import InputError
from dynvit.interface import Batch, methods
from dynvit.knobs import knobs_of, parse_point, point_said
from dynvit.solving import solver_for
from dynvit.units import GIGA

WANTED, WANTED_ALONE = 0.95, 0.8
"""In a batch, and of one image, which pays for every small kernel and for weights that are read for few rows."""


def main(
    method: str = "dynamicvit",
    keep_ratio: float = 0.7,
    knob: str = "",
    budget: float = 0.0,
    backbone: str = "deit_small_patch16_224",
    batch_size: int = 16,
    rounds: int = 9,
    most: int = 60,
    threads: int = 0,
    processor_time: bool = False,
) -> None:
    """Time until --rounds were valid, or --most were run.

    --threads is how many torch computes with, in this process; 0 leaves its own number, which OMP_NUM_THREADS sets.
    Beside another process that computes, give as many as there are idle cores: two threads on one tell nothing.
    --budget, in mean GMACs an image, is for methods whose images leave early: solved on the images that are timed.

    --processor-time counts what one thread really got of a processor: for a machine that others keep busy.
    """
    if processor_time and threads != 1:
        raise InputError("--processor-time adds up over threads: give --threads 1")
    clock = time.process_time if processor_time else time.perf_counter
    if threads:
        torch.set_num_threads(threads)
    dense, dynamic = drawn("dense", backbone), drawn(method, backbone)
    whole, point = point_at(dense, None), point_at(dynamic, keep_ratio)
    kind, config = methods.get(method), vars(dense.backbone)["pretrained_cfg"]
    images = torch.rand(batch_size, *config["input_size"], generator=torch.Generator().manual_seed(0))
    knobs = knobs_of(kind(), kind.Options(), lambda: dynamic.backbone)
    if knob:
        point = parse_point(knobs, [knob])
    if budget:
        seen = Batch(images, torch.zeros(batch_size, dtype=torch.int64), torch.empty(0))
        solver = solver_for(dynamic, kind.budget_knob, knobs, [seen])
        if solver is None:
            raise InputError(f"method {method} has no budget to be set to: give --keep-ratio or --knob")
        (point,) = solver.solve([budget * GIGA])
    with torch.inference_mode():
        usages = dense.predict(images, whole).usage, dynamic.predict(images, point).usage
        dense_macs, macs = (float(cost.macs(usage).double().mean()) for usage in usages)
        both = partial(dense.predict, images, whole), partial(dynamic.predict, images, point)
        times = interleaved(*both, rounds=rounds, most=most, clock=clock)
        alone = interleaved(*map(products, usages), rounds=rounds, most=most, clock=clock)
    theoretical = dense_macs / macs
    share, wanted = times.speedup / theoretical, WANTED if batch_size > 1 else WANTED_ALONE
    best = min((each.before for each in times.rounds), default=float("nan"))
    report(
        f"{method} {point_said(point)} on {backbone}, batch {batch_size}, {torch.get_num_threads()} threads",
        [
            rounds_row(times, rounds),
            Row("dense, images/s at best", f"{batch_size / best:.1f}"),
            Row("GMACs, dense and dynamic", f"{dense_macs / GIGA:.3f}, {macs / GIGA:.3f}"),
            Row("theoretical speed-up, of MACs", f"{theoretical:.3f}"),
            Row("realised speed-up", str(times)),
            Row("share of theoretical", f"{share:.3f}", f"≥ {wanted}", share >= wanted),
            Row("share of the products alone", f"{alone.speedup / theoretical:.3f}"),
        ],
    )


if __name__ == "__main__":
    run(main)
