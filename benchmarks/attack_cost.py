"""What an attack costs beyond the passes through the model that it cannot do without, in the same run.

    python benchmarks/attack_cost.py [--method dynamicvit --keep-ratio 0.7] [--steps 10]

PGD of k steps against k bare passes: forward, cross-entropy, backward to the image, no parameter asking for a gradient.
One thread of the CPU, float32, drawn weights, by processor time, interleaved.
"""

from __future__ import annotations

import time
from functools import partial

import torch
import torch.nn.functional as F
from _measure import Row, interleaved, report, rounds_row, run
from _models import drawn, point_at
from torch import Tensor

from dynvit.attacks import Attack, Threat, frozen_parameters
from dynvit.attacks.apgd import APGD
from dynvit.attacks.fgsm import FGSM
from dynvit.attacks.pgd import PGD
from dynvit.interface import DynamicModel, OperatingPoint

WANTED = 1.1


def bare(model: DynamicModel, point: OperatingPoint, images: Tensor, labels: Tensor, passes: int) -> None:
    """Passes there and back, and nothing else."""
    for _ in range(passes):
        leaf = images.clone().requires_grad_()
        torch.autograd.grad(F.cross_entropy(model(leaf, point).logits, labels, reduction="sum"), leaf)


def main(
    method: str = "dense",
    keep_ratio: float | None = None,
    backbone: str = "deit_tiny_patch16_224",
    batch_size: int = 8,
    steps: int = 10,
    rounds: int = 5,
    most: int = 20,
) -> None:
    """Time until --rounds were valid, or --most were run."""
    torch.set_num_threads(1)
    model = drawn(method, backbone)
    point = point_at(model, keep_ratio)
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(batch_size, *vars(model.backbone)["pretrained_cfg"]["input_size"], generator=generator)
    with torch.no_grad():
        labels = model(images, point).logits.argmax(1)
    ids = [str(index) for index in range(batch_size)]
    # So small a ball that no image is won: none is left out of any pass.
    threat = Threat("linf", 1e-6)
    one: tuple[tuple[str, Attack, int], ...] = (
        ("fgsm", FGSM(), 1),
        ("pgd, 1 step", PGD(steps=1), 1),
        (f"pgd, {steps} steps", PGD(steps=steps), steps),
        (f"pgd, {steps} steps, 2 starts", PGD(steps=steps, restarts=2), 2 * steps),
        (f"apgd, {steps} steps", APGD(steps=steps), steps),
    )
    rows = []
    with frozen_parameters(model):
        for name, attack, passes in one:
            times = interleaved(
                partial(bare, model, point, images, labels, passes),
                partial(attack, lambda images, rows: model(images, point), images, labels, ids, threat),
                rounds=rounds,
                most=most,
                warmup=1,
                clock=time.process_time,
            )
            ratio = 1 / times.speedup
            held = name.startswith("pgd")
            rows += [
                rounds_row(times, rounds),
                Row(
                    f"{name} / {passes} passes",
                    f"{ratio:.3f}",
                    f"≤ {WANTED}" if held else "",
                    ratio <= WANTED if held else None,
                ),
            ]
    report(f"attacks on {method}, {backbone}, batch {batch_size}", rows)


if __name__ == "__main__":
    run(main)
