"""MIA-Former's executed form against the dense backbone, the masked form, and images one by one.

    python benchmarks/mia_speed.py                        # DeiT-S, batch 32, float32, one thread
    python benchmarks/mia_speed.py --keep-heads 0.9       # another mix
    python benchmarks/mia_speed.py --batch-size 1         # images of the same batch, one at a time

Weights are drawn. The actors are then scaled so that each gate of each block is open for about the share of images that
--keep-depth, --keep-heads and --keep-tokens say, differently in every image: trained gates agree more. They are set on
32 images at least; smaller batches are these images, up to 8 batches of them, one after the other in each round. Each
form is interleaved with dense, and only valid rounds count.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import NormalDist

import torch
from _measure import Comparison, Row, interleaved, report, rounds_row, run
from _models import drawn
from torch import Tensor, nn

from dynvit import cost
from dynvit.errors import InputError
from dynvit.units import GIGA
from dynvit_methods.mia import MIAModel, MIAPrediction

WANTED = 0.95
WANTED_ALONE = 0.9
POLICIES = 32
"""Images that the shares are set on."""
BATCHES = 8
"""Batches of a round, at most."""


def main(
    backbone: str = "deit_small_patch16_224",
    batch_size: int = 32,
    keep_depth: float = 0.92,
    keep_heads: float = 0.85,
    keep_tokens: float = 0.85,
    rounds: int = 5,
    most: int = 40,
    threads: int = 1,
    processor_time: bool = False,
) -> None:
    """Time until --rounds were valid, or --most were run.

    --threads is how many torch computes with, in this process; 0 leaves its own number, which OMP_NUM_THREADS sets.
    Beside another process that computes, give as many as there are idle cores: two threads on one tell nothing.

    --processor-time counts what one thread really got of a processor: for a machine that others keep busy.
    """
    if processor_time and threads != 1:
        raise InputError("--processor-time adds up over threads: leave --threads at 1")
    clock = time.process_time if processor_time else time.perf_counter
    if threads:
        torch.set_num_threads(threads)
    dense, model = drawn("dense", backbone), drawn("mia", backbone)
    assert isinstance(model, MIAModel)
    size = vars(dense.backbone)["pretrained_cfg"]["input_size"]
    every = torch.rand(max(batch_size, POLICIES), *size, generator=torch.Generator().manual_seed(0))
    batches = every.split(batch_size)[:BATCHES]
    images = torch.cat(batches)
    whole, point = dense.neutral, model.trained_point
    assert whole is not None
    with torch.inference_mode():
        open_shares(model, every, {"depth": keep_depth, "heads": keep_heads, "tokens": keep_tokens})
        found = model.predict(images, point)
        gap = float((found.logits - model(images, point).logits).abs().max())
        dense_macs = float(cost.macs(dense.predict(images, whole).usage).double().mean())
        spent = cost.macs(found.usage).double()
        forms: dict[str, Callable[[], object]] = {
            "executed, packed": lambda: [model.predict(batch, point) for batch in batches],
            "executed, image by image": lambda: [model.predict(image, point) for image in images.split(1)],
            "masked": lambda: [model(batch, point) for batch in batches],
        }
        times = {
            name: interleaved(
                lambda: [dense.predict(batch, whole) for batch in batches],
                form,
                rounds=rounds,
                most=most,
                warmup=1,
                clock=clock,
            )
            for name, form in forms.items()
        }
    theoretical = dense_macs / float(spent.mean())
    packed = times["executed, packed"]
    share, saved = packed.speedup / theoretical, 1 - 1 / theoretical
    wanted = WANTED if batch_size > 1 else WANTED_ALONE
    report(
        f"mia on {backbone}, batch {batch_size}, {torch.get_num_threads()} threads",
        [
            rounds_row(packed, rounds),
            Row("GMACs: dense, mean, least, most", _gigas(dense_macs, spent)),
            Row("share of MACs saved", f"{saved:.3f}", "0.3 to 0.5", 0.3 <= saved <= 0.5),
            Row("head sets in a block, at most", str(head_sets(found))),
            Row("masked and executed logits differ by", f"{gap:.1e}", "≤ 1e-4", gap <= 1e-4),
            Row("theoretical speed-up, of MACs", f"{theoretical:.3f}"),
            *(Row(f"realised speed-up: {name}", str(comparison)) for name, comparison in times.items()),
            Row("packed over image by image", f"{_ratio(packed, times['executed, image by image']):.3f}"),
            Row("packed: share of theoretical", f"{share:.3f}", f"≥ {wanted}", share >= wanted),
        ],
    )


def open_shares(model: MIAModel, images: Tensor, shares: dict[str, float]) -> None:
    """Scale the actors, block by block, so that gates are open for the given shares of images, blocks and tokens."""
    generator = torch.Generator().manual_seed(1)
    actors = {"depth": "depth_actor", "heads": "head_actor", "tokens": "token_actor"}
    for index, controller in model.controllers.items():
        for actor_name in actors.values():
            actor = getattr(controller, actor_name)
            assert isinstance(actor, nn.Linear)
            actor.weight.copy_(torch.randn(actor.weight.shape, generator=generator))
            actor.bias.zero_()
        for name, actor_name in actors.items():
            # The differentiable form, for it asks every branch of every image.
            logits = getattr(model(images, model.trained_point).gates[int(index)], name)
            actor = getattr(controller, actor_name)
            rows = logits.reshape(-1, actor.out_features)
            mean, deviation = rows.mean(0), rows.std(0) + 1e-6
            actor.weight.div_(deviation[:, None])
            actor.bias.copy_(NormalDist().inv_cdf(min(max(shares[name], 1e-6), 1 - 1e-6)) - mean / deviation)


def head_sets(prediction: MIAPrediction) -> int:
    """The most that one block has to compute."""
    return max(len({tuple(row) for row in kept.heads[kept.depth].tolist()}) for kept in prediction.masks)


def _gigas(dense: float, spent: Tensor) -> str:
    return ", ".join(
        f"{macs / GIGA:.3f}" for macs in (dense, float(spent.mean()), float(spent.min()), float(spent.max()))
    )


def _ratio(one: Comparison, other: Comparison) -> float:
    return one.speedup / other.speedup


if __name__ == "__main__":
    run(main)
