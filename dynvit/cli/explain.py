"""``dynvit explain``: what a trained model decided about images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def explain(
    method: Annotated[str, typer.Option(help="A method that explains itself.")],
    checkpoint: Annotated[Path, typer.Option(metavar="DIR", help="A folder of dynvit train.")],
    images: Annotated[list[Path] | None, typer.Argument(metavar="[IMAGE]...", help="Image files.")] = None,
    dataset: Annotated[
        str | None, typer.Option(help="Instead of images: draw what is decided over a whole split.")
    ] = None,
    data_dir: Annotated[
        str | None, typer.Option(help="Folder or URL of the shards. [default: $DYNVIT_DATA/DATASET]")
    ] = None,
    split: Annotated[str, typer.Option(help="Of --dataset.")] = "validation",
    limit: Annotated[int | None, typer.Option(metavar="N", help="N images of --dataset, a fair draw by seed.")] = None,
    knob: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="The operating point, every knob; repeatable.")
    ] = None,
    budget: Annotated[
        float | None,
        typer.Option(
            metavar="G",
            help="Or GMACs an image, solved on calibration. [default: as trained, else the middle]",
        ),
    ] = None,
    calibration: Annotated[
        int | None, typer.Option(metavar="N", help="Images held out of train, as in its training.")
    ] = None,
    points: Annotated[int, typer.Option(metavar="N", help="Budgets of the picture of exit shares.")] = 25,
    per_class: Annotated[
        int,
        typer.Option(metavar="N", help="Easy, and as many hard, images a class; or cheap and dear ones of the split."),
    ] = 6,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="DIR", help="Where pictures and their numbers go.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto or cpu.")] = "auto",
    plugin: Annotated[list[str] | None, typer.Option(metavar="FILE", help="A one-file method; repeatable.")] = None,
) -> None:
    """Say how each image was answered, and why; or draw it for a dataset.

    For a dataset, of a method with exits: easy_hard.png, a row of easy and hard images a class; exit_shares.png and
    .csv, the share of images at each exit over the budget. Of one that skips blocks, heads or tokens: skip_ratios.png
    and .csv, block by block; kept_tokens.png, what each block kept of the cheapest and the dearest images.
    """
    from dynvit.explain.command import ExplainRequest, run_explain
    from dynvit.registry import load_plugin

    for file in plugin or ():
        load_plugin(file)
    request = ExplainRequest(
        method=method,
        checkpoint=checkpoint,
        images=images or (),
        dataset=dataset,
        data_dir=data_dir,
        split=split,
        limit=limit,
        knobs=knob or (),
        budget=budget,
        calibration=calibration,
        points=points,
        per_class=per_class,
        output=output,
        device=device,
    )
    for line in run_explain(request):
        typer.echo(line)
