"""``dynvit check``: the conformance kit on a registered method."""

from __future__ import annotations

from typing import Annotated

import typer

from dynvit.plain import say


def check(
    method: Annotated[str, typer.Argument(help="A registered method.")],
    backbone: Annotated[str, typer.Option(metavar="NAME", help="timm's name of the backbone.")] = "vit_digits",
    option: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="An option of the method; repeatable.")
    ] = None,
    plugin: Annotated[list[str] | None, typer.Option(metavar="FILE", help="A one-file method; repeatable.")] = None,
) -> None:
    """Try every law of the contract on a method; exit code 1 where one is broken."""
    from dynvit.interface import methods
    from dynvit.options import parse_options
    from dynvit.registry import load_plugin
    from dynvit.terminal import new_console, print_line
    from dynvit.testing import Subject
    from dynvit.testing import check as verdicts

    for file in plugin or ():
        load_plugin(file)
    options = parse_options(methods.get(method).Options, option or ())
    console, broken = new_console(), 0
    for verdict in verdicts(Subject.of(method, backbone, options)):
        broken += verdict.holds is False
        style, sign = {True: ("green", "  holds"), False: ("red", " BROKEN"), None: ("dim", "   –   ")}[verdict.holds]
        console.print(sign, style=style, end="")
        print_line(console, f"  {verdict.law}" + (f": {verdict.reason}" if verdict.reason else ""))
    if broken:
        say(f"{method}: {broken} broken", err=True)
        raise typer.Exit(1)
    say(f"{method}: all laws hold on {backbone}")
