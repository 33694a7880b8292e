"""``dynvit check``: the conformance kit on a registered method."""

from __future__ import annotations

from typing import Annotated

import typer


def check(
    method: Annotated[str, typer.Argument(help="A registered method.")],
    backbone: Annotated[str, typer.Option(metavar="NAME", help="timm's name of the backbone.")] = "vit_digits",
    option: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="An option of the method; repeatable.")
    ] = None,
    plugin: Annotated[list[str] | None, typer.Option(metavar="FILE", help="A one-file method; repeatable.")] = None,
) -> None:
    """Try every law of the contract on a method; exit code 1 where one is broken."""
    from rich.console import Console

    from dynvit.interface import methods
    from dynvit.options import parse_options
    from dynvit.registry import load_plugin
    from dynvit.testing import Subject
    from dynvit.testing import check as verdicts

    for file in plugin or ():
        load_plugin(file)
    options = parse_options(methods.get(method).Options, option or ())
    console, broken = Console(highlight=False), 0
    for verdict in verdicts(Subject.of(method, backbone, options)):
        broken += verdict.holds is False
        sign = {True: "[green]holds[/]", False: "[red]BROKEN[/]", None: "[dim]  –  [/]"}[verdict.holds]
        reason = f": {verdict.reason}" if verdict.reason else ""
        console.print(f"{sign:>7}  {verdict.law}", end="")
        console.print(reason, markup=False)
    if broken:
        typer.echo(f"{method}: {broken} broken", err=True)
        raise typer.Exit(1)
    typer.echo(f"{method}: all laws hold on {backbone}")
