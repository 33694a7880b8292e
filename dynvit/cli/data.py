"""``dynvit data``: pack images into shards, and check shards."""

from __future__ import annotations

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
        str, typer.Option(metavar="NAME", help="The split that a tree of class folders without split folders is.")
    ] = "validation",
) -> None:
    """Write WebDataset shards, _info.json and manifests; a second run writes the same bytes."""
    from dynvit.data.hints import flags_for
    from dynvit.data.options import PackSettings
    from dynvit.data.packing import pack as pack_images
    from dynvit.settings import flags_of, validated

    size = validated(PackSettings, {"shard_size": shard_size}, flags_of(PackSettings)).shard_size
    packed = pack_images(source, destination, name=name, shard_size=size, flat_split=split)
    counts = ", ".join(f"{split} {count:,}" for split, count in packed.samples.items())
    state = "holds the same bytes already" if packed.unchanged else "packed"
    say(f"{destination}: {state}: {counts} samples of {packed.classes} classes")
    say(f"to use it: {flags_for(destination)}")


@app.command()
def check(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder of shards.")],
    workers: Annotated[str, typer.Option("--workers", "-j", metavar="N", help="Threads that decode.")] = "2",
) -> None:
    """Read and decode every sample, compare with the manifest, list what is bad (then exit code 1)."""
    from dynvit.data.checking import check_folder
    from dynvit.data.options import CheckSettings
    from dynvit.settings import flags_of, validated

    settings = validated(CheckSettings, {"workers": workers}, flags_of(CheckSettings))
    report = check_folder(folder, workers=settings.workers)
    for fault in report.faults:
        say(f"{fault.shard}\t{fault.key or '-'}\t{fault.why}")
    say(f"{folder}: {report.samples:,} samples read, {len(report.faults)} bad", err=bool(report.faults))
    if report.faults:
        raise typer.Exit(1)
