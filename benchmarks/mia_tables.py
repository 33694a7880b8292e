"""MIA-Former's Tables 2 and 3 again: what each dimension brings, and what inheriting the controllers' weights does.

    python benchmarks/mia_tables.py dimensions --weights FILE --data-dir DIR --output runs/mia-dimensions
    python benchmarks/mia_tables.py inheritance --weights FILE --data-dir DIR --output runs/mia-inheritance

All trainings of a table are one division: they begin from the same weights, see the same images and share a recipe; row
"none" is the backbone, which learns as long. All models are then set to the target on the calibration split, so that
they are compared at equal cost, and measured by one bench; ``--attacked`` adds Table 3's robust accuracy, by the
paper's PGD within L∞ 0.002. A model that cannot be set to the target has no row, and is named. The same command again
goes on with what was killed and repeats nothing that is finished.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from _measure import run
from _models import trained
from rich import box
from rich.console import Console
from rich.table import Table

from dynvit.api.benching import plan_bench, run_bench
from dynvit.data import open_split
from dynvit.errors import InputError
from dynvit.files import write_whole
from dynvit.leaderboard.board import Entry
from dynvit.measurements.robustness.summary import RobustnessSummary
from dynvit.session import checkpoint_facts
from dynvit.training.request import RunSettings, TrainRequest
from dynvit.training.run import train_to
from dynvit.units import GIGA
from dynvit.version import __version__

Which = Literal["dimensions", "inheritance"]


@dataclass(frozen=True)
class Published:
    """A row of the paper: DeiT-Small on ImageNet. Units: ``gflops`` are GMACs, a target in Table 3."""

    gflops: float
    top1_pct: float


DIMENSIONS: dict[str, tuple[tuple[str, ...], Published]] = {
    "none": ((), Published(4.6, 79.9)),
    "heads": (("heads",), Published(3.9, 78.7)),
    "depth": (("depth",), Published(4.1, 76.2)),
    "tokens": (("tokens",), Published(3.8, 79.7)),
    "depth+heads": (("depth", "heads"), Published(4.0, 78.6)),
    "heads+tokens": (("heads", "tokens"), Published(3.7, 79.8)),
    "depth+tokens": (("depth", "tokens"), Published(3.9, 79.3)),
    "all": (("depth", "heads", "tokens"), Published(3.9, 79.9)),
}
# Table 3 has 3.4 and 3.9 of DeiT-Small's 4.6 G. "pretrain": without the third stage.
INHERITANCE: dict[str, tuple[dict[str, Any], tuple[Published, Published]]] = {
    "0.5": ({"inherit": 0.5}, (Published(3.4, 79.2), Published(3.9, 78.3))),
    "0.75": ({"inherit": 0.75}, (Published(3.4, 79.9), Published(3.9, 79.6))),
    "1.0": ({"inherit": 1.0}, (Published(3.4, 79.9), Published(3.9, 79.6))),
    "pretrain": ({"reinforce": False}, (Published(3.4, 79.9), Published(3.9, 79.5))),
}
PAPER_TARGETS = (0.74, 0.85)


@dataclass(frozen=True)
class Planned:
    """A training that a table needs. ``target`` as a fraction of the dense MACs, None of the backbone's own row."""

    name: str
    folder: str
    request: TrainRequest
    target: float | None
    paper: Published | None


@dataclass(frozen=True)
class TableRow:
    """One trained model, set to the target. Units: ``gmacs`` a mean over images; ``target_gmacs`` likewise."""

    name: str
    target: float | None
    top1_pct: float
    gmacs: float
    target_gmacs: float | None
    robust_pct: float | None = None


def plan(which: Which, targets: Sequence[float], **shared: Any) -> list[Planned]:
    """The trainings of a table: they differ in dimensions, or in target and inheritance, alone."""
    base = TrainRequest(method="mia", division="fine-tuned", **shared)
    if which == "dimensions":
        if len(targets) != 1:
            raise InputError(f"the table of dimensions is made at one target: give one --target, not {len(targets)}")
        made = []
        for name, (dimensions, paper) in DIMENSIONS.items():
            change: dict[str, Any] = {"options": {"dimensions": list(dimensions)}, "target": targets[0]}
            request = base.model_copy(update=change if dimensions else {"method": "dense"})
            made.append(Planned(name, name, request, targets[0] if dimensions else None, paper))
        return made
    return [
        Planned(
            name,
            f"{name}-at-{target:g}",
            base.model_copy(update={"options": options, "target": target}),
            target,
            paper[PAPER_TARGETS.index(target)] if target in PAPER_TARGETS else None,
        )
        for target in targets
        for name, (options, paper) in INHERITANCE.items()
    ]


def measure(
    asked: Sequence[Planned], folder: Path, data_dir: str | None, limit: int | None, attacked: int
) -> dict[str, TableRow]:
    """The trainings in ``folder`` at their targets, by one bench a target; by folder, without what cannot be set."""
    rows: dict[str, TableRow] = {}
    static = next((planned for planned in asked if planned.target is None), None)
    for target in sorted({planned.target for planned in asked if planned.target is not None}):
        models = [planned for planned in asked if planned.target == target]
        session, _ = trained(folder / models[0].folder, data_dir=data_dir)
        gmacs = target * session.dense_macs / GIGA
        known = {checkpoint_facts(folder / planned.folder).weights_sha256: planned for planned in models}
        benched = models if static is None else [static, *models]
        values: dict[str, Any] = {
            "methods": "dense,mia" if static else "mia",
            "method_checkpoint": [f"{p.request.method}={folder / p.folder}" for p in benched],
            "data_dir": data_dir,
            "limit": limit,
            "budgets": f"{gmacs:.9g}",
            "output": str(folder / f"board-at-{target:g}"),
        }
        if attacked:
            values |= {"robustness": "mia-paper", "robustness_limit": attacked, "robustness_points": "all"}
        board = run_bench(plan_bench(None, values, command="benchmarks/mia_tables.py"))
        assert board is not None
        for entry in board.entries:
            planned = known.get(entry.checkpoint_sha256 or "") or (static if entry.baseline else None)
            if planned is not None:
                wanted = None if planned is static else gmacs
                rows[planned.folder] = TableRow(
                    planned.name, planned.target, entry.top1_pct, entry.gmacs_mean, wanted, robust(entry)
                )
    return rows


def robust(entry: Entry) -> float | None:
    """Accuracy under the paper's PGD; None where nothing was attacked."""
    found = RobustnessSummary.model_validate_json(json.dumps(entry.measurements.get("robustness", {})))
    return next((ball.accuracy_pct for ball in found.accuracy if ball.norm == "linf"), None)


def table(rows: Sequence[TableRow], asked: Sequence[Planned], which: Which, title: str) -> Table:
    """A row for each training, the paper's beside it."""
    first, paper = ("dimensions", "GFLOPs") if which == "dimensions" else ("inherited", "target GFLOPs")
    made = Table(
        *(first, "target GMACs", "GMACs", "top-1 (%)", "robust (%)", f"paper: {paper}", "paper: top-1 (%)"),
        title=title,
        title_justify="left",
        box=box.SIMPLE,
    )
    for row, planned in zip(rows, asked, strict=True):
        made.add_row(
            row.name,
            "" if row.target_gmacs is None else f"{row.target_gmacs:.4g}",
            f"{row.gmacs:.4g}",
            f"{row.top1_pct:.2f}",
            "" if row.robust_pct is None else f"{row.robust_pct:.2f}",
            "" if planned.paper is None else f"{planned.paper.gflops:.1f}",
            "" if planned.paper is None else f"{planned.paper.top1_pct:.1f}",
        )
    return made


def write_result(
    path: Path, rows: Sequence[TableRow], asked: Sequence[Planned], which: Which, images: int, attacked: int
) -> None:
    """The rows with all that is needed to make them again; the weights by their file's name.

    Args:
        path: of the file.
        rows: of the models that could be set to their target.
        asked: how each was trained.
        which: table.
        images: that accuracy is of.
        attacked: images that robust accuracy is of; 0 for none.
    """
    shared = asked[-1].request
    training = shared.model_dump(mode="json", exclude={"options", "method", "target"})
    body = {
        "dynvit_version": __version__,
        "table": which,
        "training": training | {"weights": shared.weights and os.path.basename(shared.weights)},
        "validation_images": images,
        **({"attacked_images": attacked} if attacked else {}),
        "rows": [
            asdict(row) | {"paper": planned.paper and asdict(planned.paper)}
            for row, planned in zip(rows, asked, strict=True)
        ],
        "paper": f"arXiv 2112.11542, Table {2 if which == 'dimensions' else 3}: DeiT-Small on ImageNet",
    }
    write_whole(path, (json.dumps(body, indent=1) + "\n").encode())


def tables(
    which: Annotated[Which, typer.Argument(help="Table 2 (dimensions) or Table 3 (inheritance).")],
    weights: Annotated[str | None, typer.Option(help="Backbone weights: a file, a folder, or hf://OWNER/REPO.")] = None,
    dataset: Annotated[str, typer.Option(help="See dynvit ls datasets.")] = "cifar10",
    data_dir: Annotated[str | None, typer.Option(help="Folder or URL of the shards.")] = None,
    backbone: Annotated[str, typer.Option(help="timm's name.")] = "deit_tiny_patch16_224",
    image_size: Annotated[
        int | None, typer.Option(metavar="PIXELS", help="[default: 64; the backbone's for digits]")
    ] = None,
    target: Annotated[
        list[float] | None,
        typer.Option(metavar="F", help="Of the dense MACs; again for more. [default: 0.85; for Table 3 also 0.74]"),
    ] = None,
    epochs: Annotated[int | None, typer.Option(metavar="N", help="[default: the recipe's]")] = None,
    limit_train: Annotated[int | None, typer.Option(metavar="N", help="Train on N images.")] = None,
    limit: Annotated[int | None, typer.Option(metavar="N", help="Measure on N images.")] = None,
    mixed_precision: Annotated[Literal["no", "fp16", "bf16"], typer.Option(help="In training.")] = "no",
    seed: Annotated[int, typer.Option(help="Of weights, order and augmentation.")] = 0,
    attacked: Annotated[int, typer.Option(metavar="N", help="Attack N images, too.")] = 0,
    workers: Annotated[int, typer.Option(metavar="N", help="Decoding processes.")] = 0,
    output: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the trainings go. [default: runs/mia-WHICH]")
    ] = None,
    result: Annotated[
        Path | None, typer.Option(metavar="FILE", help="JSON of the rows. [default: WHICH.json in --output]")
    ] = None,
) -> None:
    """Train and measure all models of one of MIA-Former's ablations."""
    small = dataset == "digits"
    asked = plan(
        which,
        target or (PAPER_TARGETS if which == "inheritance" else PAPER_TARGETS[-1:]),
        dataset=dataset,
        backbone="vit_digits" if small and backbone == "deit_tiny_patch16_224" else backbone,
        weights=weights,
        image_size=image_size or (None if small else 64),
        epochs=epochs,
        limit_train=limit_train,
        mixed_precision=mixed_precision,
        seed=seed,
        data_seed=seed,
    )
    folder = output or Path(f"runs/mia-{which}")
    file = result or folder / f"{which}.json"
    if file.is_dir():
        raise InputError(f"--result {str(file)!r} is a folder: give a file")
    for planned in asked:
        train_to(folder / planned.folder, planned.request, RunSettings(data_dir=data_dir, workers=workers))
    made = measure(asked, folder, data_dir, limit, attacked)
    missing = [planned.folder for planned in asked if planned.folder not in made]
    if missing:
        typer.echo(f"no row for {', '.join(missing)}: not to be set to its target", err=True)
    asked = [planned for planned in asked if planned.folder in made]
    rows = [made[planned.folder] for planned in asked]
    images = len(open_split(dataset, "validation", data_dir=data_dir, seed=seed, limit=limit))
    write_result(file, rows, asked, which, images, attacked)
    title = f"MIA-Former on {dataset}, {images:,} validation images"
    Console(highlight=False, width=140).print(table(rows, asked, which, title))
    typer.echo(str(file))


if __name__ == "__main__":
    run(tables)
