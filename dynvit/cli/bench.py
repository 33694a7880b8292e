"""``dynvit bench``: from nothing to a Pareto front."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Annotated, Any

import typer

from dynvit.cli._options import Values, made
from dynvit.cli._plugins import load_named

PANELS = ("Data", "Model", "Training", "Budgets", "", "Output")  # what is measured stands before the output

OWN: dict[str, Any] = {
    "suite": (
        Annotated[
            str | None,
            typer.Option("-C", metavar="FILE", help="YAML of these options; flags win.", rich_help_panel="Output"),
        ],
        None,
    ),
    "fresh": (
        Annotated[bool, typer.Option("--fresh", help="A new folder beside the old one.", rich_help_panel="Output")],
        False,
    ),
    "dry_run": (
        Annotated[
            bool, typer.Option("--dry-run", help="Check everything and print the plan.", rich_help_panel="Output")
        ],
        False,
    ),
}


def bench(values: Values) -> None:
    """Compare methods at the same budgets and publish the Pareto front: table, JSON, picture.

    Without options: dynvit's first methods and controls, on digits, trained from scratch in a few minutes. The same
    command again continues what was begun and repeats nothing.
    """
    from dynvit.api.benching import closing, plan_bench, plan_lines, run_bench
    from dynvit.report import print_board
    from dynvit.terminal import new_console, print_line

    suite, fresh, dry_run = values.pop("suite", None), values.pop("fresh"), values.pop("dry_run")
    planned, console = plan_bench(suite, values, fresh=fresh), new_console()
    if dry_run:
        for line in plan_lines(planned):
            print_line(console, line)
        return
    board = run_bench(planned)
    if board is not None:
        print_board(board, console)
        print_line(console, closing(board, planned.folder))


def command(arguments: Sequence[str] | None) -> Callable[..., None]:
    """The command with a flag for everything that is declared; without ``arguments`` its help's first line only.

    A plug-in file among the arguments may declare more.
    """
    if arguments is None:
        return made(bench, (), OWN)
    from dynvit.benchmark.config import OUTPUT, bench_flags
    from dynvit.measurements.asked import all_flags

    load_named(arguments)
    further = [replace(flag, panel=name.capitalize()) for name, own in all_flags().items() for flag in own]
    own_panels = [flag for flag in bench_flags() if flag.panel != OUTPUT]
    output = [flag for flag in bench_flags() if flag.panel == OUTPUT]
    first = sorted(own_panels, key=lambda flag: flag.name != "methods")
    ordered = sorted(
        [*first, *further, *output], key=lambda flag: PANELS.index(flag.panel) if flag.panel in PANELS else 4
    )
    return made(bench, ordered, OWN, own_last=True)
