"""``dynvit train``: a method's trained parts, in a folder that the bench takes."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from dynvit.cli._options import Values, given_flags, made
from dynvit.cli._plugins import load_named
from dynvit.plain import say

OWN: dict[str, Any] = {
    "method": (
        Annotated[str, typer.Option(metavar="NAME", help="See dynvit ls methods; dense trains the backbone itself.")],
        ...,
    ),
    "output": (Annotated[str, typer.Option("--output", "-o", metavar="DIR", help="Checkpoint, log, state.")], ...),
    "option": (
        Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="An option of the method. Repeatable.")],
        None,
    ),
    "resume": (
        Annotated[bool, typer.Option("--resume", help="Continue what a stopped training left in DIR.")],
        False,
    ),
    "dry_run": (
        Annotated[bool, typer.Option("--dry-run", help="Try a few steps; print the plan, its time and memory.")],
        False,
    ),
}
SHARED = (
    *("dataset", "data_dir", "on_bad_sample", "calibration", "data_seed", "workers"),
    *("backbone", "weights", "image_size", "device", "seed", "plugin"),
)


def train(values: Values) -> None:
    """Train a method on a data set. Continued with --resume, a killed training ends in the same weights.

    Under ``accelerate launch`` it runs on several processes.
    """
    from dynvit.training.command import forecast_train, run_train

    command = shlex.join(["dynvit", *sys.argv[1:]])
    if values.pop("dry_run", False):
        for line in forecast_train(values, command):
            say(line)
    else:
        run_train(values, command)


def command(arguments: Sequence[str] | None) -> Callable[..., None]:
    """The command with every flag; without ``arguments`` its help's first line only."""
    if arguments is None:
        return made(train, (), OWN)
    from dynvit.benchmark.config import bench_flags
    from dynvit.settings import flags_of
    from dynvit.training.request import RunSettings, TrainRequest

    load_named(arguments)
    own = [*flags_of(TrainRequest), *flags_of(RunSettings)]
    return made(train, [*given_flags(bench_flags(), SHARED), *own], OWN)
