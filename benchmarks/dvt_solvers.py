"""The released exit-share ladder against solved thresholds, on real images.

    python benchmarks/dvt_solvers.py CHECKPOINT [--dataset digits] [--points 9] [--calibration N]

Both are solved on the calibration split and judged on validation: what is best on the images it was chosen on is worth
what remains of it on others.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch

from dynvit.checkpoint import load
from dynvit.data import open_split
from dynvit.data.pixels import PixelBatches, to_pixels
from dynvit.data.transforms import Preprocessing
from dynvit.interface import Batch
from dynvit_methods.dvt.cascade import Cascade
from dynvit_methods.dvt.thresholds import SOLVERS, Confidences


def confidences(
    model: Cascade, preprocessing: Preprocessing, dataset: str, split: str, size: int | None
) -> Confidences:
    batches = PixelBatches(open_split(dataset, split, calibration=size), preprocessing)
    return model.confidences(Batch(to_pixels(b.images), b.labels, torch.empty(0)) for b in batches)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--points", type=int, default=9)
    parser.add_argument("--calibration", type=int, default=None)
    chosen = parser.parse_args()
    model, config = load(chosen.checkpoint)
    assert isinstance(model, Cascade)
    preprocessing = config.preprocessing
    with torch.inference_mode():
        seen, unseen = (
            confidences(model.eval(), preprocessing, chosen.dataset, split, chosen.calibration)
            for split in ("calibration", "validation")
        )
    costs = seen.costs
    print(f"exits alone, validation: {', '.join(f'{100 * row.mean():.2f} %' for row in unseen.correct)}")
    print(f"{seen.scores.shape[1]} calibration images, {unseen.scores.shape[1]} validation images")
    budgets = np.linspace(costs[0], costs[-1], chosen.points).tolist()
    solved = {name: solver(seen, budgets) for name, solver in SOLVERS.items()}
    print(f"{'budget':>10}" + "".join(f" | {name + ': cal / val (MACs)':^34}" for name in solved))
    for index, budget in enumerate(budgets):
        cells = []
        for rows in solved.values():
            (_, on_seen), (spent, on_unseen) = seen.measure(rows[index]), unseen.measure(rows[index])
            cells.append(f"{100 * on_seen:6.2f} / {100 * on_unseen:6.2f} ({spent / budget:.3f} of budget)")
        print(f"{budget / 1e6:8.2f} M" + "".join(f" | {cell:^34}" for cell in cells))
    for name, rows in solved.items():
        means = [100 * np.mean([table.measure(row)[1] for row in rows]) for table in (seen, unseen)]
        print(f"{name}: mean over budgets {means[0]:.2f} on calibration, {means[1]:.2f} on validation")


if __name__ == "__main__":
    main()
