"""DVT's Tables 6, 7 and 8 again: what the two reuses bring, each alone and both, and how each of them is best made.

    python benchmarks/dvt_ablation.py --table reuse --weights FILE --data-dir DIR --output runs/dvt-ablation

Cascades are trained from the same weights on the same images in the same order, and every exit is measured on every
validation image. The same command again continues a training that was killed and repeats none that is finished.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from _cascades import cascade, confidences
from _dvt_tables import TABLES, PaperTable
from _measure import run
from rich import box
from rich.console import Console
from rich.table import Table

from dynvit.backbones.build import BackboneSpec, build
from dynvit.backbones.vit import PlainViT
from dynvit.data import open_split
from dynvit.errors import InputError
from dynvit.files import write_whole
from dynvit.processes import process_state
from dynvit.training.request import RunSettings, TrainRequest
from dynvit.training.run import train_to
from dynvit.units import GIGA
from dynvit.version import __version__
from dynvit_methods.dvt.options import DEFAULT_EXITS, DVTOptions


@dataclass(frozen=True)
class AblationRow:
    """One cascade, exit by exit. Units: ``gmacs`` of an image that leaves there, by both counting rules."""

    reuse: str
    top1_pct: tuple[float, ...]
    gmacs: tuple[float, ...]
    gmacs_fvcore: tuple[float, ...]


def requests(
    which: PaperTable,
    dataset: str,
    backbone: str,
    weights: str | None = None,
    image_size: int | None = None,
    **more: Any,
) -> dict[str, TrainRequest]:
    """The trainings of a table, which differ in the two reuses alone. Fewer exits than three are the coarsest."""
    shared = TrainRequest(
        method="dvt", dataset=dataset, backbone=backbone, weights=weights, image_size=image_size, **more
    )
    grids = {} if which.exits == DEFAULT_EXITS else {"grids": coarsest(backbone, image_size, which.exits)}
    return {name: shared.model_copy(update={"options": dict(row.options) | grids}) for name, row in which.rows.items()}


def coarsest(backbone: str, image_size: int | None, exits: int) -> list[int]:
    """The first of the grids that a cascade of this backbone has where nobody names any."""
    shape = PlainViT(build(BackboneSpec(backbone, image_size=image_size)), needed_by="method dvt").shape
    return list(DVTOptions().grids_for(shape.grid[0])[:exits])


def measure(
    name: str, checkpoint: Path, data_dir: str | None = None, limit: int | None = None, device: str = "cpu"
) -> AblationRow:
    """Every exit of a trained cascade on every image of the validation split."""
    session, opened, model = cascade(checkpoint, data_dir=data_dir)
    found = confidences(model, opened, session.split(limit=limit), device)
    return AblationRow(
        name,
        tuple(round(100 * float(exit.mean()), 3) for exit in found.correct),
        tuple(macs / GIGA for macs in model.exit_macs()),
        tuple(macs / GIGA for macs in model.exit_macs("fvcore")),
    )


def table(which: PaperTable, rows: Sequence[AblationRow], title: str) -> Table:
    """The rows as the paper prints them, its own beside."""
    made = Table(
        *("reuse", "top-1 by exit (%)", "GMACs by exit", "paper: top-1 by exit (%)", "paper: GFLOPs"),
        title=title,
        title_justify="left",
        box=box.SIMPLE,
    )
    for row in rows:
        paper = which.rows[row.reuse]
        made.add_row(
            row.reuse,
            " / ".join(f"{value:.2f}" for value in row.top1_pct),
            " / ".join(f"{value:.4g}" for value in row.gmacs),
            " / ".join(f"{value:.2f}" for value in paper.top1_pct),
            " / ".join(f"{value:.2f}" for value in paper.gflops),
        )
    return made


def write_result(
    path: Path, which: PaperTable, rows: Sequence[AblationRow], request: TrainRequest, images: int
) -> None:
    """The rows with all that is needed to make them again; the weights by their file's name."""
    training = request.model_dump(mode="json", exclude={"options", "method"})
    weights = request.weights and os.path.basename(request.weights)
    paper = [{"reuse": name, "top1_pct": row.top1_pct, "gflops": row.gflops} for name, row in which.rows.items()]
    body = {
        "dynvit_version": __version__,
        "training": training | {"weights": weights},
        "validation_images": images,
        "rows": [asdict(row) for row in rows],
        "paper": {"source": which.source, "rows": paper},
    }
    write_whole(path, (json.dumps(body, indent=1) + "\n").encode())


def ablate(
    table_of: Annotated[
        Literal["reuse", "features", "relations"],
        typer.Option("--table", help="Table 6, 7 (variants of feature reuse) or 8 (of relation reuse)."),
    ] = "reuse",
    weights: Annotated[str | None, typer.Option(help="Backbone weights: a file, or hf://OWNER/REPO.")] = None,
    dataset: Annotated[str, typer.Option(help="See dynvit ls datasets.")] = "cifar10",
    data_dir: Annotated[str | None, typer.Option(help="Folder or URL of the shards.")] = None,
    backbone: Annotated[str, typer.Option(help="timm's name.")] = "deit_tiny_patch16_224",
    image_size: Annotated[
        int | None, typer.Option(metavar="PIXELS", help="[default: 64; the backbone's for digits]")
    ] = None,
    epochs: Annotated[int | None, typer.Option(metavar="N", help="[default: the recipe's]")] = None,
    limit_train: Annotated[int | None, typer.Option(metavar="N", help="Train on N images.")] = None,
    limit: Annotated[int | None, typer.Option(metavar="N", help="Measure on N images.")] = None,
    mixed_precision: Annotated[Literal["no", "fp16", "bf16"], typer.Option(help="In training.")] = "no",
    seed: Annotated[int, typer.Option(help="Of weights, order and augmentation.")] = 0,
    workers: Annotated[int, typer.Option(metavar="N", help="Decoding processes.")] = 0,
    output: Annotated[Path, typer.Option(metavar="DIR", help="Where the trainings go.")] = Path("runs/dvt-ablation"),
    result: Annotated[
        Path | None, typer.Option(metavar="FILE", help="JSON of the rows. [default: ablation.json in --output]")
    ] = None,
) -> None:
    """Train and measure the cascades of a table."""
    small, which = dataset == "digits", TABLES[table_of]
    asked = requests(
        which,
        dataset,
        "vit_digits" if small and backbone == "deit_tiny_patch16_224" else backbone,
        weights,
        image_size or (None if small else 64),
        epochs=epochs,
        limit_train=limit_train,
        mixed_precision=mixed_precision,
        seed=seed,
        data_seed=seed,
    )
    file = result or output / "ablation.json"
    if file.is_dir():
        raise InputError(f"--result {str(file)!r} is a folder: give a file")
    device = str(process_state().device)
    rows: list[AblationRow] = []
    for name, request in asked.items():
        made = train_to(output / name, request, RunSettings(data_dir=data_dir, workers=workers))
        rows.append(measure(name, made, data_dir, limit, device))
    images = len(open_split(dataset, "validation", data_dir=data_dir, seed=seed, limit=limit))
    write_result(file, which, rows, next(iter(asked.values())), images)
    Console(highlight=False, width=140).print(table(which, rows, f"DVT on {dataset}, {images:,} validation images"))
    typer.echo(str(file))


if __name__ == "__main__":
    run(ablate)
