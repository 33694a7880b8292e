"""``dynvit data``: pack images into shards, and check shards."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Pack images into shards, and check shards.")


@app.command()
def pack(
    source: Annotated[Path, typer.Argument(metavar="SRC", help="A folder, zip or tar of images; or CIFAR's pickles.")],
    destination: Annotated[Path, typer.Argument(metavar="DST", help="The folder to make.")],
    name: Annotated[str | None, typer.Option(help="What shards are called. Default: DST's name")] = None,
    shard_size: Annotated[int, typer.Option(metavar="N", help="Samples a shard.")] = 2000,
    split: Annotated[
        str | None,
        typer.Option(help="The split of class folders without folders of splits. Default: SRC's name, else validation"),
    ] = None,
    allow_missing_classes: Annotated[
        bool, typer.Option("--allow-missing-classes", help="A split may lack classes that train has.")
    ] = False,
) -> None:
    """Write WebDataset shards, _info.json and manifests; a second run writes the same bytes. Layouts: docs/data.md."""
    from dynvit.data.hints import flags_for
    from dynvit.data.listing import some
    from dynvit.data.packing import pack as pack_images

    packed = pack_images(
        source,
        destination,
        name=name,
        shard_size=shard_size,
        flat_split=split,
        allow_missing_classes=allow_missing_classes,
    )
    for kind, names in packed.left_out.items():
        warnings.warn(f"not packed: {len(names):,} {kind} ({some(names)})", stacklevel=2)
    typer.echo(f"to use it: {flags_for(destination)}")
    left_out = ", ".join(f"{len(names):,} {kind}" for kind, names in packed.left_out.items())
    typer.echo(f"left out: {left_out or 'nothing'}")
    counts = ", ".join(f"{split} {count:,}" for split, count in packed.samples.items())
    state = "holds the same bytes already" if packed.unchanged else "packed"
    empty = f", {len(packed.empty):,} of them without an image ({some(packed.empty)})" if packed.empty else ""
    typer.echo(f"{destination}: {state}: {counts} samples of {packed.classes} classes{empty}")


@app.command()
def check(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder of shards.")],
    workers: Annotated[int, typer.Option("--workers", "-j", metavar="N", help="Threads that decode.")] = 2,
) -> None:
    """Read and decode every sample, compare with the manifest, list what is bad (then exit code 1) or not used."""
    from dynvit.data.checking import check_folder

    report = check_folder(folder, workers=workers)
    for fault in report.faults:
        typer.echo(f"{fault.shard}\t{fault.key or '-'}\t{fault.why}")
    for name in report.unused:
        typer.echo(f"{name}\t-\tnot used: no part of the data set")
    unused = f", {len(report.unused)} files not used" if report.unused else ""
    typer.echo(f"{folder}: {report.samples:,} samples read, {len(report.faults)} bad{unused}", err=bool(report.faults))
    if report.faults:
        raise typer.Exit(1)
