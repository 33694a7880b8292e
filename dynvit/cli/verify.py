"""``dynvit verify``: entries measured again from what is published of them."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Annotated, Any

import typer

from dynvit.cli._plugins import Plugin, load
from dynvit.plain import say


def verify(
    path: Annotated[Path, typer.Argument(metavar="BOARD|FOLDER", help="A published board, or a bench's folder.")],
    entry: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="Only this entry, by the start of its id; repeatable.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="Images at most, drawn at random.")] = 1000,
    seed: Annotated[int | None, typer.Option(min=0, metavar="N", help="Draws them. Default: by chance")] = None,
    data_dir: Annotated[str | None, typer.Option(metavar="DIR|URL", help="Where the data set lies here.")] = None,
    weights: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="Weights that may be the entries'; repeatable.")
    ] = None,
    run: Annotated[
        list[Path] | None, typer.Option(metavar="FOLDER", help="A folder to look for checkpoints in; repeatable.")
    ] = None,
    train: Annotated[
        bool, typer.Option("--train", help="Train again what is not found, and compare as far as seeds allow.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="DIR", help="Keep there what --train trains.")
    ] = None,
    write: Annotated[bool, typer.Option("--write", help="Add what was measured to BOARD.verified.jsonl.")] = False,
    by: Annotated[str | None, typer.Option(metavar="NAME", help="Who measures, for --write.")] = None,
    device: Annotated[str, typer.Option(metavar="NAME", help="auto, cpu, or an accelerator.")] = "auto",
    batch_size: Annotated[int, typer.Option("--batch-size", "-b", min=1, metavar="N", help="Images a batch.")] = 64,
    workers: Annotated[int, typer.Option("--workers", "-j", min=0, metavar="N", help="Processes that decode.")] = 0,
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
        by=by or "nobody",
        command=command_line(),
        seed=secrets.randbelow(2**31) if seed is None else seed,
        limit=limit,
        data_dir=data_dir,
        device=device,
        batch_size=batch_size,
        workers=workers,
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
