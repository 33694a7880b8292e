"""The released solver of exit shares (``released``) against solved thresholds, on real images.

    python benchmarks/dvt_solvers.py CHECKPOINT [--dataset NAME] [--points 9] [--calibration N]

Both are solved on the calibration split and judged on validation: what is best on the images it was chosen on is worth
what remains of it on others.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from _cascades import cascade, confidences
from _measure import run

from dynvit_methods.dvt.thresholds import SOLVERS


def main(
    checkpoint: Annotated[Path, typer.Argument(help="A folder of dynvit train.")],
    dataset: Annotated[str | None, typer.Option(help="[default: the checkpoint's]")] = None,
    data_dir: str | None = None,
    points: int = 9,
    calibration: Annotated[int | None, typer.Option(metavar="N", help="[default: what training held out]")] = None,
) -> None:
    """Solve --points budgets on the calibration split, and judge them on both."""
    asked = {"dataset": dataset, "data_dir": data_dir, "calibration": calibration}
    session, opened, model = cascade(checkpoint, **asked)
    seen, unseen = (confidences(model, opened, session.split(split)) for split in ("calibration", "validation"))
    costs = seen.costs
    print(f"exits alone, validation: {', '.join(f'{100 * row.mean():.2f} %' for row in unseen.correct)}")
    print(f"{seen.scores.shape[1]} calibration images, {unseen.scores.shape[1]} validation images")
    budgets = np.linspace(costs[0], costs[-1], points).tolist()
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
    run(main)
