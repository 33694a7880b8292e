"""``dynvit verify``: entries measured again from what is published of them."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Annotated, Any

import typer

from dynvit.cli._plugins import Plugin, load
from dynvit.plain import say

Entries = Annotated[
    list[str] | None, typer.Option(metavar="ID", help="Only this entry, by the start of its id; repeatable.")
]
Limit = Annotated[int, typer.Option(metavar="N", help="Images at most, drawn at random.")]
Seed = Annotated[int | None, typer.Option(metavar="N", help="Draws them. Default: by chance")]
DataDir = Annotated[str | None, typer.Option(metavar="DIR|URL", help="Where the data set lies here.")]
Files = Annotated[list[Path] | None, typer.Option(metavar="FILE", help="Weights that may be the entries'; repeatable.")]
Runs = Annotated[
    list[Path] | None, typer.Option(metavar="FOLDER", help="A folder to look for checkpoints in; repeatable.")
]
Train = Annotated[
    bool, typer.Option("--train", help="Train again what is not found, and compare as far as seeds allow.")
]
Output = Annotated[Path | None, typer.Option("--output", "-o", metavar="DIR", help="Keep there what --train trains.")]
Write = Annotated[bool, typer.Option("--write", help="Add what was measured to BOARD.verified.jsonl.")]
By = Annotated[str | None, typer.Option(metavar="NAME", help="Who measures, for --write.")]
Device = Annotated[str, typer.Option(metavar="NAME", help="auto, cpu, or an accelerator.")]
BatchSize = Annotated[int, typer.Option("--batch-size", "-b", metavar="N", help="Images a batch.")]
Workers = Annotated[int, typer.Option("--workers", "-j", metavar="N", help="Processes that decode.")]


def verify(
    path: Annotated[Path, typer.Argument(metavar="BOARD|FOLDER", help="A published board, or a bench's folder.")],
    entry: Entries = None,
    limit: Limit = 1000,
    seed: Seed = None,
    data_dir: DataDir = None,
    weights: Files = None,
    run: Runs = None,
    train: Train = False,
    output: Output = None,
    write: Write = False,
    by: By = None,
    device: Device = "auto",
    batch_size: BatchSize = 64,
    workers: Workers = 0,
    plugin: Plugin = None,
) -> None:
    """Measure entries again, and hold them to what is published: image by image where per-sample results are.

    Checkpoints are found by hash, images by their manifest. Exit code 1 where something differs or was not found.
    """
    from dynvit.api.benching import command_line
    from dynvit.api.verified import verified
    from dynvit.api.verifying import Asked
    from dynvit.errors import InputError

    load(plugin)
    if write and not (by or "").strip():
        raise InputError("--write publishes who measured: add --by NAME")
    asked = Asked(
        by or "nobody",
        command_line(),
        secrets.randbelow(2**31) if seed is None else seed,
        limit,
        data_dir,
        device,
        batch_size,
        workers,
    )
    places = [*(run or ()), *(weights or ())]
    made_by = _options_of if train else None
    differing = 0
    for line, holds in verified(path, entry or (), places, asked, write=write, made_by=made_by, trained=output):
        differing += not holds
        say(line)
    if differing:
        say(f"{differing} of the entries differ, or could not be measured", err=True)
        raise typer.Exit(1)


def _options_of(command: str) -> dict[str, Any]:
    """The options of the ``dynvit bench`` that made a record. Raises: ``InputError`` for another command."""
    import shlex

    from dynvit.cli import bench
    from dynvit.errors import InputError

    try:
        program, name, *words = shlex.split(command)
    except ValueError:
        program, name, words = "", "", []
    if (program, name) != ("dynvit", "bench"):
        raise InputError(f"{command!r} made these entries, and is no `dynvit bench`: train them again by hand")
    app = typer.Typer(add_completion=False)
    app.command("bench")(bench.command(()))
    with typer.main.get_command(app).make_context("bench", words) as context:
        return {key: value for key, value in context.params.items() if value not in (None, (), [])}
