"""MIA-Former trained to the letter, and by our readings of what the paper leaves open: which of them meets the target?

    python benchmarks/mia_letter.py --output runs/mia-letter

On digits, from one dense backbone that is trained first, by recipe ``digits-letter``; all are measured at their trained
point, every gate at P(keep) > 0.5. Exit code 1 where no reading comes within ``--within`` of the target. A training
that was killed is continued, a finished one kept.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from _measure import run
from mia_tables import Planned, TableRow, measure
from rich import box
from rich.console import Console
from rich.table import Table

from dynvit.processes import process_state
from dynvit.training.request import RunSettings, TrainRequest
from dynvit.training.run import train_to

READINGS: dict[str, dict[str, Any]] = {
    "to the letter": {},
    "α warms up": {"cost_growth": 1.05},
    "β by the scatter of the reward": {"cost_growth": 1.05, "beta_rule": "scatter"},
    "β by the distance instead": {"cost_growth": 1.05, "beta_rule": "proportional", "beta": 3.0},
    "the actor inherits co-training's": {
        "cost_growth": 1.05,
        "beta_rule": "proportional",
        "beta": 3.0,
        "actor": "inherited",
    },
    "α warms up, co-training alone": {"cost_growth": 1.05, "reinforce": False},
}
"""Options of ``mia`` by the reading that the row adds."""


def plan(weights: str, target: float, seed: int, epochs: int | None) -> list[Planned]:
    """The trainings: the letter and its readings."""
    base = TrainRequest(
        method="mia",
        backbone="vit_digits",
        dataset="digits",
        weights=weights,
        recipe="digits-letter",
        target=target,
        seed=seed,
        epochs=epochs,
    )
    return [
        Planned(name, f"{number}-at-{target:g}", base.model_copy(update={"options": options}), target, None)
        for number, (name, options) in enumerate(READINGS.items())
    ]


def table(rows: list[TableRow], dense_top1: float, target: float) -> Table:
    """A row for each reading."""
    title = f"MIA-Former on digits, target {target:g} of dense; the backbone before: {dense_top1:.2f} %"
    made = Table("reading", "of dense", "wanted", "top-1 (%)", title=title, title_justify="left", box=box.SIMPLE)
    for row in rows:
        made.add_row(row.name, f"{share(row):.3f}", f"{target:.3f}", f"{row.top1_pct:.2f}")
    return made


def share(row: TableRow) -> float:
    """What was realised, as a fraction of the dense cost."""
    assert row.target is not None
    assert row.target_gmacs is not None
    return row.gmacs / row.target_gmacs * row.target


def main(
    weights: Annotated[str | None, typer.Option(help="A dense vit_digits. [default: trained first]")] = None,
    target: Annotated[float, typer.Option(metavar="F", help="Of the dense MACs.")] = 0.7,
    within: Annotated[float, typer.Option(metavar="F", help="How near the target is met.")] = 0.02,
    epochs: Annotated[int | None, typer.Option(metavar="N", help="[default: the recipe's]")] = None,
    seed: Annotated[int, typer.Option(help="Of weights, order and augmentation.")] = 0,
    output: Annotated[Path, typer.Option(metavar="DIR", help="Where the trainings go.")] = Path("runs/mia-letter"),
) -> None:
    """Train and measure MIA-Former to the letter, and by each reading."""
    dense = TrainRequest(method="dense", backbone="vit_digits", dataset="digits", seed=seed)
    start = weights or str(train_to(output / "dense", dense, RunSettings()))
    device = str(process_state().device)
    before = measure(Planned("dense", "dense", dense, None, None), Path(start), None, None, device)
    rows = []
    for planned in plan(start, target, seed, epochs):
        made = train_to(output / planned.folder, planned.request, RunSettings())
        rows.append(measure(planned, made, None, None, device))
    Console(highlight=False, width=100).print(table(rows, before.top1_pct, target))
    if all(abs(share(row) - target) > within for row in rows):
        raise typer.Exit(1)


if __name__ == "__main__":
    run(main)
