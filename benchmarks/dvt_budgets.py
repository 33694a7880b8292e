"""What many budgets of a cascade cost, against one pass of the whole cascade over the same images.

    python benchmarks/dvt_budgets.py                        # DeiT-S with drawn weights, 59 budgets
    python benchmarks/dvt_budgets.py --budgets 100 --backbone vit_cifar --images 512

Budgets lie evenly over the range; the released solver finds their thresholds on the images' own confidences, and all
are swept in one pass. The two are interleaved; the solving is timed apart.
"""

from __future__ import annotations

import time
from typing import Annotated

import numpy as np
import torch
import typer
from _measure import Row, interleaved, report, rounds_row, run
from timm.models import create_model

import dynvit.backbones.small
import dynvit.backbones.t2t  # noqa: F401 - both register with timm
from dynvit import cost
from dynvit.backbones.build import image_size
from dynvit.interface import Batch, OperatingPoint
from dynvit.units import GIGA
from dynvit_methods.dvt.cascade import Cascade
from dynvit_methods.dvt.options import DVTOptions

WANTED = 1.05


def main(
    backbone: Annotated[str, typer.Option(help="A timm model.")] = "deit_small_patch16_224",
    budgets: Annotated[int, typer.Option(help="As the released code has.")] = 59,
    images: Annotated[int, typer.Option(help="Drawn at random; all in one batch.")] = 64,
    rounds: Annotated[int, typer.Option(help="Valid rounds to count.")] = 5,
    most: Annotated[int, typer.Option(help="Rounds to try.")] = 20,
    threads: Annotated[int, typer.Option(help="Of torch.")] = 2,
) -> None:
    """Time the sweep of all budgets against one run of all exits."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    # Drawn weights are sure of nothing; the control criterion spreads the images over the exits all the same.
    model = Cascade(create_model(backbone), DVTOptions(criterion="random", solver="released")).eval()
    batch = torch.rand(images, 3, *image_size(model.backbone))
    labels = torch.zeros(images, dtype=torch.long)
    everything = OperatingPoint(**{f"threshold_{k}": 1.0 for k in range(1, len(model.exits))})
    with torch.inference_mode():
        low, high = model.exit_macs()[0], model.exit_macs()[-1]
        start = time.perf_counter()
        points = model.solve(np.linspace(low, high, budgets).tolist(), [Batch(batch, labels, labels)])
        solving = time.perf_counter() - start

        def sweep() -> list[float]:
            return [float(cost.macs(found.usage).double().mean()) for found in model.sweep(batch, points)]

        spent = sweep()
        found = interleaved(lambda: model.predict(batch, everything), sweep, rounds=rounds, most=most)
    ratio, different = 1 / found.speedup, len(set(points))
    report(
        f"{budgets} budgets of DVT on {backbone}, {images} images",
        [
            Row("sweep / one pass of all exits", f"{ratio:.3f}", f"≤ {WANTED}", ratio <= WANTED),
            Row("mean GMACs of the sweep's points", f"{min(spent) / GIGA:.3f} to {max(spent) / GIGA:.3f}"),
            Row("different settings", f"{different} of {budgets}", "≥ half", 2 * different >= budgets),
            Row("confidences and thresholds, once", f"{solving:.1f} s"),
            rounds_row(found, rounds),
        ],
    )


if __name__ == "__main__":
    run(main)
