"""``dynvit train``: a method's trained parts, in a folder that the bench takes."""

from __future__ import annotations

import shlex
import sys
from typing import Annotated

import typer


def train(
    method: Annotated[str, typer.Option(help="See dynvit ls methods; dense trains the backbone itself.")],
    dataset: Annotated[str, typer.Option(help="See dynvit ls datasets.")],
    backbone: Annotated[str, typer.Option(help="timm's name.")],
    output: Annotated[str, typer.Option("--output", "-o", metavar="DIR", help="Checkpoint, log, state.")],
    weights: Annotated[
        str | None,
        typer.Option(help="Backbone weights: a file, hf://OWNER/REPO, or a folder of dynvit train. Default: drawn"),
    ] = None,
    data_dir: Annotated[
        str | None, typer.Option(help="Folder or URL of the shards. Default: $DYNVIT_DATA/DATASET")
    ] = None,
    image_size: Annotated[int | None, typer.Option(metavar="PIXELS", help="Default: the backbone's")] = None,
    recipe: Annotated[
        str | None, typer.Option(help="One of the method's. Default: the one named as the dataset, else the first")
    ] = None,
    epochs: Annotated[int | None, typer.Option(metavar="N", help="Instead of the recipe's.")] = None,
    batch_size: Annotated[
        int | None, typer.Option("--batch-size", "-b", metavar="N", help="Of a step over all processes; same lr.")
    ] = None,
    lr: Annotated[float | None, typer.Option(help="Instead of the recipe's.")] = None,
    options: Annotated[
        list[str] | None, typer.Option("--option", metavar="NAME=VALUE", help="An option of the method; repeatable.")
    ] = None,
    target: Annotated[
        float | None, typer.Option(metavar="F", help="Train for this fraction of the backbone's MACs.")
    ] = None,
    mixed_precision: Annotated[
        str | None, typer.Option(help="no, fp16 or bf16. Default: what accelerate launch says, else no")
    ] = None,
    accumulate: Annotated[int, typer.Option(metavar="N", help="Pieces of a batch, for less memory.")] = 1,
    seed: Annotated[int, typer.Option(help="Of the held-out split, weights, order and augmentation.")] = 0,
    calibration: Annotated[
        int | None, typer.Option(metavar="N", help="Images held out of train. Default: a tenth, at most 5,000")
    ] = None,
    limit_train: Annotated[
        int | None, typer.Option(metavar="N", help="Train on N images, a fair draw by seed: for smoke tests.")
    ] = None,
    on_bad_sample: Annotated[str, typer.Option(help="raise, or skip and count.")] = "raise",
    workers: Annotated[int, typer.Option("--workers", "-j", metavar="N", help="Decoding processes.")] = 0,
    track: Annotated[str | None, typer.Option(help="tensorboard, or another tracker of Accelerate's.")] = None,
    plugin: Annotated[list[str] | None, typer.Option(metavar="FILE", help="A one-file method; repeatable.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue what a stopped training left in DIR.")] = False,
) -> None:
    """Train a method on a dataset. Continued with --resume, a killed training ends in the same weights.

    Under ``accelerate launch`` it runs on several processes.
    """
    from dynvit.registry import load_plugin
    from dynvit.training.command import run_train

    for file in plugin or ():
        load_plugin(file)
    run_train(
        output,
        {
            "method": method,
            "backbone": backbone,
            "dataset": dataset,
            "weights": weights,
            "image_size": image_size,
            "recipe": recipe,
            "epochs": epochs,
            "batch_size": batch_size,
            "lr": lr,
            "target": target,
            "limit_train": limit_train,
            "seed": seed,
            "data_seed": seed,
            "calibration": calibration,
            "mixed_precision": mixed_precision,
        },
        {
            "data_dir": data_dir,
            "workers": workers,
            "accumulate": accumulate,
            "on_bad_sample": on_bad_sample,
            "track": track,
            "command": shlex.join(["dynvit", *sys.argv[1:]]),
        },
        options or (),
        resume=resume,
    )
