"""How much of its theoretical speed-up, of MACs, a method's ``predict`` realises against dense in the same run.

    python benchmarks/speed.py [--method topk] [--keep-ratio 0.7] [--rounds 9]

float32 on the CPU, drawn weights: methods that keep a fixed number of tokens work alike on any. The two are
interleaved, and only valid rounds count. DynamicViT's published code gives 1.45 of 1.54, 0.94, on two cores.
"""

from __future__ import annotations

from functools import partial

import torch
from _measure import Row, interleaved, report, rounds_row, run
from _models import drawn, point_at

from dynvit import cost
from dynvit.units import GIGA

WANTED = 0.95


def main(
    method: str = "dynamicvit",
    keep_ratio: float = 0.7,
    backbone: str = "deit_small_patch16_224",
    batch_size: int = 16,
    rounds: int = 9,
    most: int = 60,
    threads: int = 0,
) -> None:
    """Time until --rounds were valid, or --most were run; --threads 0 leaves torch's own number."""
    if threads:
        torch.set_num_threads(threads)
    dense, dynamic = drawn("dense", backbone), drawn(method, backbone)
    whole, point = point_at(dense, None), point_at(dynamic, keep_ratio)
    config = vars(dense.backbone)["pretrained_cfg"]
    images = torch.rand(batch_size, *config["input_size"], generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        dense_macs = float(cost.macs(dense.predict(images, whole).usage).double().mean())
        macs = float(cost.macs(dynamic.predict(images, point).usage).double().mean())
        times = interleaved(
            partial(dense.predict, images, whole), partial(dynamic.predict, images, point), rounds=rounds, most=most
        )
    theoretical = dense_macs / macs
    share = times.speedup / theoretical
    best = min((each.before for each in times.rounds), default=float("nan"))
    report(
        f"{method} {keep_ratio:g} on {backbone}, batch {batch_size}, {torch.get_num_threads()} threads",
        [
            rounds_row(times, rounds),
            Row("dense, images/s at best", f"{batch_size / best:.1f}"),
            Row("GMACs, dense and dynamic", f"{dense_macs / GIGA:.3f}, {macs / GIGA:.3f}"),
            Row("theoretical speed-up, of MACs", f"{theoretical:.3f}"),
            Row("realised speed-up", str(times)),
            Row("share of theoretical", f"{share:.3f}", f"≥ {WANTED}", share >= WANTED),
        ],
    )


if __name__ == "__main__":
    run(main)
