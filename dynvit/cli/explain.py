"""``dynvit explain``: what a trained model decided about images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from dynvit.cli._one_model import ONE_MODEL
from dynvit.cli._options import Values, given_flags, made
from dynvit.cli._plugins import load_named
from dynvit.plain import say

OWN: dict[str, Any] = {
    "images": (Annotated[list[Path] | None, typer.Argument(metavar="[IMAGE]...", help="Image files.")], None),
    "checkpoint": (Annotated[Path, typer.Option(metavar="DIR", help="A folder of dynvit train.")], ...),
    "method": ONE_MODEL["method"],
    "knob": ONE_MODEL["knob"],
    "output": (
        Annotated[
            Path | None, typer.Option("--output", "-o", metavar="DIR", help="Where pictures and their numbers go.")
        ],
        None,
    ),
}
TAKEN = ("dataset", "data_dir", "split", "limit", "calibration", "data_seed", "device", "plugin")


def explain(values: Values) -> None:
    """Say how each image was answered, and why; or draw it for a data set.

    For a data set, of a method with exits: easy_hard.png, a row of easy and hard images a class; exit_shares.png and
    .csv, the share of images at each exit over the budget. Of one that skips blocks, heads or tokens: skip_ratios.png
    and .csv, block by block; kept_tokens.png, what each block kept of the least and the most expensive images.
    """
    from dynvit.explain.command import run_explain

    values.pop("plugin", None)
    for line in run_explain(values):
        say(line)


def command(arguments: Sequence[str] | None) -> Callable[..., None]:
    """The command with every flag; without ``arguments`` its help's first line only."""
    if arguments is None:
        return made(explain, (), OWN)
    from dynvit.benchmark.config import bench_flags
    from dynvit.explain.settings import ExplainSettings
    from dynvit.settings import flags_of

    load_named(arguments)
    return made(explain, [*flags_of(ExplainSettings), *given_flags(bench_flags(), TAKEN)], OWN)
