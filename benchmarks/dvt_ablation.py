"""The paper's Table 6 again: what the two reuses of DVT bring, each alone and both.

    python benchmarks/dvt_ablation.py --weights FILE --data-dir DIR --output runs/dvt-ablation --result FILE.json

Four cascades are trained from the same weights on the same images in the same order, and every exit is measured on
every validation image. The same command again continues a training that was killed and repeats none that is finished.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import typer
from _measure import run
from _models import trained
from rich import box
from rich.console import Console
from rich.table import Table

from dynvit.data import open_split
from dynvit.data.pixels import PixelBatches, to_pixels
from dynvit.errors import InputError
from dynvit.files import write_whole
from dynvit.interface import Batch
from dynvit.processes import process_state
from dynvit.training.request import RunSettings, TrainRequest
from dynvit.training.run import train_to
from dynvit.units import GIGA
from dynvit.version import __version__
from dynvit_methods.dvt.cascade import Cascade

COMBINATIONS: dict[str, dict[str, Any]] = {
    "none": {"feature_reuse": "off", "relation_reuse": "off"},
    "features": {"feature_reuse": "full", "relation_reuse": "off"},
    "relations": {"feature_reuse": "off", "relation_reuse": "full"},
    "both": {"feature_reuse": "full", "relation_reuse": "full"},
}
# arXiv 2105.15075, Table 6: T2T-ViT-12 on ImageNet, exits of 7×7, 10×10 and 14×14 tokens.
PAPER_TOP1 = {
    "none": (70.33, 73.54, 76.74),
    "features": (69.42, 75.31, 79.21),
    "relations": (69.03, 75.34, 78.86),
    "both": (69.04, 75.65, 80.00),
}
PAPER_GFLOPS = {
    "none": (0.47, 1.37, 3.15),
    "features": (0.47, 1.43, 3.31),
    "relations": (0.47, 1.41, 3.34),
    "both": (0.47, 1.46, 3.50),
}


@dataclass(frozen=True)
class AblationRow:
    """One cascade, exit by exit. Units: ``gmacs`` of an image that leaves there, by both counting rules."""

    reuse: str
    top1_pct: tuple[float, ...]
    gmacs: tuple[float, ...]
    gmacs_fvcore: tuple[float, ...]


def requests(
    dataset: str,
    backbone: str,
    weights: str | None = None,
    image_size: int | None = None,
    **more: Any,
) -> dict[str, TrainRequest]:
    """The four trainings, which differ in the two reuses alone."""
    shared = TrainRequest(
        method="dvt", dataset=dataset, backbone=backbone, weights=weights, image_size=image_size, **more
    )
    return {name: shared.model_copy(update={"options": reuse}) for name, reuse in COMBINATIONS.items()}


def measure(
    name: str, checkpoint: Path, data_dir: str | None = None, limit: int | None = None, device: str = "cpu"
) -> AblationRow:
    """Every exit of a trained cascade on every image of the validation split."""
    session, opened = trained(checkpoint, data_dir=data_dir)
    model = opened.model
    assert isinstance(model, Cascade)
    on = torch.device(device)
    model.to(on)
    batches = PixelBatches(session.split(limit=limit), opened.preprocessing)
    with torch.inference_mode():
        found = model.confidences(
            Batch(to_pixels(batch.images.to(on)), batch.labels.to(on), torch.empty(0)) for batch in batches
        )
    return AblationRow(
        name,
        tuple(round(100 * float(exit.mean()), 3) for exit in found.correct),
        tuple(macs / GIGA for macs in model.exit_macs()),
        tuple(macs / GIGA for macs in model.exit_macs("fvcore")),
    )


def table(rows: Sequence[AblationRow], title: str) -> Table:
    """Four rows as the paper prints them, its own beside."""
    made = Table(
        *("reuse", "top-1 by exit (%)", "GMACs by exit", "paper: top-1 by exit (%)", "paper: GFLOPs by exit"),
        title=title,
        title_justify="left",
        box=box.SIMPLE,
    )
    for row in rows:
        made.add_row(
            row.reuse,
            " / ".join(f"{value:.2f}" for value in row.top1_pct),
            " / ".join(f"{value:.4g}" for value in row.gmacs),
            " / ".join(f"{value:.2f}" for value in PAPER_TOP1[row.reuse]),
            " / ".join(f"{value:.2f}" for value in PAPER_GFLOPS[row.reuse]),
        )
    return made


def write_result(path: Path, rows: Sequence[AblationRow], request: TrainRequest, images: int) -> None:
    """The rows with all that is needed to make them again; the weights by their file's name."""
    training = request.model_dump(mode="json", exclude={"options", "method"})
    weights = request.weights and os.path.basename(request.weights)
    body = {
        "dynvit_version": __version__,
        "training": training | {"weights": weights},
        "validation_images": images,
        "rows": [asdict(row) for row in rows],
        "paper": {
            "source": "arXiv 2105.15075, Table 6: T2T-ViT-12 on ImageNet",
            "rows": [
                {"reuse": name, "top1_pct": PAPER_TOP1[name], "gflops": PAPER_GFLOPS[name]} for name in COMBINATIONS
            ],
        },
    }
    write_whole(path, (json.dumps(body, indent=1) + "\n").encode())


def ablate(
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
    output: Annotated[Path, typer.Option(metavar="DIR", help="Where the four trainings go.")] = Path(
        "runs/dvt-ablation"
    ),
    result: Annotated[
        Path | None, typer.Option(metavar="FILE", help="JSON of the rows. [default: ablation.json in --output]")
    ] = None,
) -> None:
    """Train and measure DVT without reuse, with each alone, and with both."""
    small = dataset == "digits"
    asked = requests(
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
    write_result(file, rows, asked["both"], images)
    Console(highlight=False, width=140).print(table(rows, f"DVT on {dataset}, {images:,} validation images"))
    typer.echo(str(file))


if __name__ == "__main__":
    run(ablate)
