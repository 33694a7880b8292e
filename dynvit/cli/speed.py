"""``dynvit speed``: one method against its dense backbone, by the clock."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def speed(
    method: Annotated[str, typer.Option(help="See dynvit ls methods.")],
    checkpoint: Annotated[
        str | None, typer.Option(metavar="PATH|NAME", help="A folder of dynvit train, a published file or its name.")
    ] = None,
    dataset: Annotated[str | None, typer.Option(help="Default: the checkpoint's, else digits")] = None,
    data_dir: Annotated[
        str | None, typer.Option(help="Folder or URL of the shards. Default: $DYNVIT_DATA/DATASET")
    ] = None,
    split: Annotated[str, typer.Option(help="Where the images are drawn.")] = "validation",
    backbone: Annotated[
        str | None, typer.Option(help="timm's name. Default: the checkpoint's, else by dataset")
    ] = None,
    weights: Annotated[
        str | None, typer.Option(help="Backbone weights. Default: drawn, where every image costs alike.")
    ] = None,
    image_size: Annotated[int | None, typer.Option(metavar="PIXELS", help="Default: the backbone's")] = None,
    option: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="An option of the method; repeatable.")
    ] = None,
    knob: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="The operating point, every knob; repeatable.")
    ] = None,
    budgets: Annotated[
        str | None, typer.Option(metavar="G,G", help="Or GMACs an image, solved on calibration.")
    ] = None,
    points: Annotated[int, typer.Option(metavar="N", help="Or N budgets, spread over what it can be set to.")] = 3,
    speed_batches: Annotated[str, typer.Option(metavar="N,N", help="Batch sizes.")] = "1,2,4,8,16,32,64,128,256",
    speed_rounds: Annotated[int, typer.Option(metavar="N", help="Quiet rounds of each batch size.")] = 7,
    speed_dtype: Annotated[str, typer.Option(help="float32 or bf16.")] = "float32",
    compile: Annotated[bool, typer.Option("--compile", help="Time both through torch.compile.")] = False,
    threads: Annotated[int | None, typer.Option(metavar="N", help="Of a CPU. Default: torch's, 1 if small")] = None,
    calibration: Annotated[
        int | None, typer.Option(metavar="N", help="Images held out of train, as in its training.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, or an accelerator: cuda, cuda:1.")] = "auto",
    seed: Annotated[int, typer.Option(help="Draws the images.")] = 0,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="JSON lines, added to what is there.")
    ] = None,
    plugin: Annotated[list[str] | None, typer.Option(metavar="FILE", help="A one-file method; repeatable.")] = None,
) -> None:
    """Time a method beside its dense backbone, on real images, from one image a batch to hundreds.

    The two take turns and busy rounds do not count. What matters is the share of the speed-up promised by MACs that
    the clock finds, and the batch from which the method is faster at all.
    """
    from dynvit.bench.speed_command import SpeedRequest, run_speed
    from dynvit.cli.bench import _numbers
    from dynvit.registry import load_plugin

    for file in plugin or ():
        load_plugin(file)
    run_speed(
        SpeedRequest(
            method=method,
            checkpoint=checkpoint,
            dataset=dataset,
            data_dir=data_dir,
            split=split,
            backbone=backbone,
            weights=weights,
            image_size=image_size,
            options=tuple(option or ()),
            knobs=tuple(knob or ()),
            budgets=_numbers(budgets, "--budgets") or (),
            points=points,
            batches=_numbers(speed_batches, "--speed-batches") or (),
            rounds=speed_rounds,
            dtype=speed_dtype,
            compile=compile,
            threads=threads,
            calibration=calibration,
            device=device,
            seed=seed,
            output=output,
        )
    )
