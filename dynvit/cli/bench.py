"""``dynvit bench``: from nothing to a Pareto front."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dynvit.cli._options import Values, made
from dynvit.cli._plugins import load_named
from dynvit.settings import Flag

if TYPE_CHECKING:
    from dynvit.api.launching import Engine

PANELS = ("Data", "Model", "Training", "Budgets", "", "Output")  # what is measured stands before the output

SUITE: Any = (
    Annotated[
        str | None,
        typer.Option("-C", metavar="FILE", help="YAML of these options; flags win.", rich_help_panel="Output"),
    ],
    None,
)


def _text(flag: str, metavar: str, help: str) -> Any:
    option = typer.Option(flag, metavar=metavar, help=help, rich_help_panel="Parts")
    return Annotated[str | None, option], None


OWN: dict[str, Any] = {
    "share": _text(
        "--share", "I/N", "Do the I-th of N parts, into its folder in the output's. Default: as a Slurm array has it"
    ),
    "cell": _text("--cell", "NAME", "Do one cell of those that dynvit plan prints."),
    "launcher": _text(
        "--launcher", "NAME", "Do all cells, at once where they can be: local:N processes, slurm, slurm:N or dask."
    ),
    "scheduler": _text("--scheduler", "ADDRESS", "The dask scheduler, tcp://HOST:8786."),
    "slurm": (
        Annotated[
            list[str] | None,
            typer.Option(
                "--slurm", metavar="NAME=VALUE", help="An option of sbatch. Repeatable.", rich_help_panel="Parts"
            ),
        ],
        None,
    ),
    "suite": SUITE,
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
    from dynvit.api.dividing import command_words, part_asked, part_done, part_of, run_part, share_asked
    from dynvit.api.launching import check_whole, launch_bench
    from dynvit.plain import say
    from dynvit.report import print_board
    from dynvit.terminal import new_console, print_line

    suite, fresh, dry_run = values.pop("suite", None), values.pop("fresh"), values.pop("dry_run")
    share, cell = values.pop("share", None), values.pop("cell", None)
    engine = _engine(values)
    check_whole(None if engine is None else engine.name, share, cell)
    divided = engine is None and part_asked(share, cell, fresh=fresh, storage=values.get("storage") is not None)
    planned, console = plan_bench(suite, values, fresh=fresh), new_console()
    if dry_run:
        for line in plan_lines(planned):
            print_line(console, line)
        return
    if engine is not None:
        words = command_words(suite, {**values, "output": str(planned.folder)})
        launched = launch_bench(planned, words, engine)
        board, fault = launched.board, launched.fault()
    elif divided:
        part = part_of(planned, None if cell else share_asked(share), cell)
        print_line(console, part_done(part, run_part(part)))
        return
    else:
        board, fault = run_bench(planned), None
    if board is not None:
        print_board(board, console)
        print_line(console, closing(board, planned.folder))
    if fault is not None:
        say(fault, err=True)
        raise typer.Exit(1)


def _engine(values: Values) -> Engine | None:
    """The launcher that is asked for, taken out of the values. Raises: ``InputError`` for one that cannot be."""
    from dynvit.api.launching import Engine
    from dynvit.errors import InputError
    from dynvit.launchers.choosing import check_launcher

    name, scheduler = values.pop("launcher", None), values.pop("scheduler", None)
    options = tuple(values.pop("slurm", None) or ())
    if name is None:
        if scheduler is not None or options:
            raise InputError(f"{'--scheduler' if scheduler else '--slurm'} belongs to a launcher: add --launcher")
        return None
    check_launcher(name, scheduler, options)
    return Engine(name, scheduler, options)


def command(arguments: Sequence[str] | None) -> Callable[..., None]:
    """The command with a flag for everything that is declared; without ``arguments`` its help's first line only."""
    return made(bench, all_options(arguments), OWN, own_last=arguments is not None)


def all_options(arguments: Sequence[str] | None) -> list[Flag]:
    """Every option of a bench in the order of its help; none without ``arguments``.

    A plug-in file among the arguments may declare more.
    """
    if arguments is None:
        return []
    from dynvit.benchmark.config import OUTPUT, bench_flags
    from dynvit.measurements.asked import all_flags

    load_named(arguments)
    further = [replace(flag, panel=name.capitalize()) for name, own in all_flags().items() for flag in own]
    own_panels = [flag for flag in bench_flags() if flag.panel != OUTPUT]
    output = [flag for flag in bench_flags() if flag.panel == OUTPUT]
    first = sorted(own_panels, key=lambda flag: flag.name != "methods")
    return sorted([*first, *further, *output], key=lambda flag: PANELS.index(flag.panel) if flag.panel in PANELS else 4)
