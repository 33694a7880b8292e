"""``dynvit data``: pack images into shards, and check shards."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Annotated

import typer

from dynvit.plain import say

app = typer.Typer(no_args_is_help=True, help="Pack images into shards, and check shards.")


@app.command()
def pack(
    source: Annotated[Path, typer.Argument(metavar="SRC", help="A folder, zip or tar of images; or CIFAR's pickles.")],
    destination: Annotated[Path, typer.Argument(metavar="DST", help="The folder to make.")],
    name: Annotated[str | None, typer.Option(help="What shards are called. Default: DST's name")] = None,
    shard_size: Annotated[str, typer.Option(metavar="N", help="Samples a shard.")] = "2000",
    split: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The split of class folders without folders of splits. Default: SRC's name, else validation",
        ),
    ] = None,
    allow_missing_classes: Annotated[
        bool, typer.Option("--allow-missing-classes", help="A split may lack classes that train has.")
    ] = False,
) -> None:
    """Write WebDataset shards, _info.json and manifests; a second run writes the same bytes. Layouts: docs/data.md."""
    from dynvit.data.hints import flags_for
    from dynvit.data.listing import some
    from dynvit.data.options import PackSettings
    from dynvit.data.packing import pack as pack_images
    from dynvit.settings import flags_of, validated

    packed = pack_images(
        source,
        destination,
        name=name,
        shard_size=validated(PackSettings, {"shard_size": shard_size}, flags_of(PackSettings)).shard_size,
        flat_split=split,
        allow_missing_classes=allow_missing_classes,
    )
    for kind, names in packed.left_out.items():
        warnings.warn(f"not packed: {len(names):,} {kind} ({some(names)})", stacklevel=2)
    say(f"to use it: {flags_for(destination)}")
    left_out = ", ".join(f"{len(names):,} {kind}" for kind, names in packed.left_out.items())
    say(f"left out: {left_out or 'nothing'}")
    counts = ", ".join(f"{split} {count:,}" for split, count in packed.samples.items())
    state = "holds the same bytes already" if packed.unchanged else "packed"
    empty = f", {len(packed.empty):,} of them without an image ({some(packed.empty)})" if packed.empty else ""
    say(f"{destination}: {state}: {counts} samples of {packed.classes} classes{empty}")


@app.command()
def check(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder of shards.")],
    workers: Annotated[str, typer.Option("--workers", "-j", metavar="N", help="Threads that decode.")] = "2",
) -> None:
    """Read and decode every sample, compare with the manifest, list what is bad (then exit code 1) or not used."""
    from dynvit.data.checking import check_folder
    from dynvit.data.options import CheckSettings
    from dynvit.settings import flags_of, validated

    settings = validated(CheckSettings, {"workers": workers}, flags_of(CheckSettings))
    report = check_folder(folder, workers=settings.workers)
    for fault in report.faults:
        say(f"{fault.shard}\t{fault.key or '-'}\t{fault.why}")
    for unused in report.unused:
        say(f"{unused}\t-\tnot used: no part of the data set")
    more = f", {len(report.unused)} files not used" if report.unused else ""
    say(f"{folder}: {report.samples:,} samples read, {len(report.faults)} bad{more}", err=bool(report.faults))
    if report.faults:
        raise typer.Exit(1)
