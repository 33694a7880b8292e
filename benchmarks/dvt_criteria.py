"""DVT's Table 9 again: which images leave early, by confidence, by entropy, or at random.

    python benchmarks/dvt_criteria.py CHECKPOINT --data-dir DIR --result FILE

One trained cascade; thresholds are solved on the calibration split by the released solver, whatever the criterion, and
judged on every validation image. Budgets are the paper's shares of all exits' cost.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from _cascades import cascade, confidences
from _measure import run
from rich import box
from rich.console import Console
from rich.table import Table

from dynvit.exits.thresholds import Confidences
from dynvit.files import write_whole
from dynvit.session import checkpoint_facts
from dynvit.units import GIGA
from dynvit.version import __version__
from dynvit_methods.dvt.criteria import criteria
from dynvit_methods.dvt.thresholds import SOLVERS

SOURCE = "arXiv 2105.15075, Table 9: T2T-ViT-12 on ImageNet"
PAPER_GFLOPS, PAPER_WHOLE = (0.75, 1.0, 1.25, 1.5), 3.50
COMPARED = 1
"""The budget that the paper's text compares criteria at."""
PAPER_TOP1 = {
    "random": (70.19, 71.66, 72.61, 73.59),
    "entropy": (73.41, 75.21, 77.08, 78.40),
    "confidence": (73.70, 76.22, 77.89, 78.89),
}


def judged(seen: Confidences, unseen: Confidences, budgets: Sequence[float]) -> list[tuple[float, float]]:
    """Cost and accuracy on ``unseen`` at each budget, solved on ``seen``. Units: MACs, a fraction."""
    return [unseen.measure(row) for row in SOLVERS["released"](seen, budgets)]


def main(
    checkpoint: Annotated[Path, typer.Argument(help="A folder of dynvit train.")],
    data_dir: Annotated[str | None, typer.Option(help="Folder or URL of the shards.")] = None,
    limit: Annotated[int | None, typer.Option(metavar="N", help="Judge on N images.")] = None,
    result: Annotated[Path | None, typer.Option(metavar="FILE", help="JSON of the rows.")] = None,
) -> None:
    """Judge one cascade by three criteria."""
    facts = checkpoint_facts(checkpoint)
    session, opened, model = cascade(checkpoint, data_dir=data_dir)
    calibration, validation = session.split("calibration"), session.split("validation", limit=limit)
    whole = model.exit_macs()[-1]
    budgets = [max(model.exit_macs()[0], whole * share / PAPER_WHOLE) for share in PAPER_GFLOPS]
    rows: list[dict[str, Any]] = []
    for name in PAPER_TOP1:
        model.criterion = criteria.get(name)
        seen, unseen = (confidences(model, opened, split) for split in (calibration, validation))
        points = judged(seen, unseen, budgets)
        top1, gmacs = [round(100 * right, 3) for _, right in points], [macs / GIGA for macs, _ in points]
        one = {"name": name, "top1_pct": top1[COMPARED], "gmacs": gmacs[COMPARED]}
        rows.append(one | {"top1_pct_by_budget": top1, "gmacs_by_budget": gmacs})
    images = len(validation)
    if result is not None:
        body = {
            "dynvit_version": __version__,
            "training": {
                "backbone": facts.backbone.name,
                "dataset": facts.dataset,
                "image_size": facts.preprocessing.image_size,
                "epochs": facts.training.epochs,
                "seed": facts.training.seed,
                "weights_sha256": facts.weights_sha256,
            },
            "validation_images": images,
            "budgets_gmacs": [budget / GIGA for budget in budgets],
            "rows": rows,
            "paper": {"source": SOURCE, "gflops": PAPER_GFLOPS, "rows": PAPER_TOP1},
        }
        write_whole(result, (json.dumps(body, indent=1) + "\n").encode())
    said = [f"{budget / GIGA:.4g} GMACs, {budget / whole:.0%}" for budget in budgets]
    table = Table("leaves by", *said, title=f"{images:,} validation images; the paper's beside", box=box.SIMPLE)
    for row in rows:
        pairs = zip(row["top1_pct_by_budget"], PAPER_TOP1[row["name"]], strict=True)
        table.add_row(row["name"], *(f"{ours:.2f} ({theirs:.2f})" for ours, theirs in pairs))
    Console(highlight=False, width=140).print(table)


if __name__ == "__main__":
    run(main)
