"""``dynvit speed``: one method against its dense backbone, in time and memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from dynvit.cli._one_model import ONE_MODEL
from dynvit.cli._options import Values, given_flags, made
from dynvit.cli._plugins import load_named

OWN: dict[str, Any] = {
    **ONE_MODEL,
    "budgets": (
        Annotated[str | None, typer.Option(metavar="G,G", help="Or GMACs an image, solved on calibration.")],
        None,
    ),
    "points": (
        Annotated[
            str | None,
            typer.Option(metavar="N", help="Or N budgets, spread over what it can be set to. Default: 3"),
        ],
        None,
    ),
    "threads": (
        Annotated[str | None, typer.Option(metavar="N", help="Threads of a CPU. Default: torch's, 1 if small")],
        None,
    ),
    "output": (
        Annotated[
            str | None, typer.Option("--output", "-o", metavar="FILE", help="JSON lines, added to what is there.")
        ],
        None,
    ),
}
TAKEN = (
    *("dataset", "data_dir", "split", "data_seed", "calibration", "backbone", "weights", "image_size"),
    *("device", "seed", "solve", "plugin"),
)


def speed(values: Values) -> None:
    """Time a method beside its dense backbone, on real images, from one image a batch to hundreds.

    Timing is interleaved, and rounds that something else slowed are not valid. What matters is the realised share of
    the theoretical speed-up, of MACs, and the break-even batch size.
    """
    from dynvit.api.timing import timing_tables
    from dynvit.terminal import new_console, print_line, print_table

    console = new_console()
    for table, line in timing_tables(values):
        print_table(console, table)
        print_line(console, line)


def command(arguments: Sequence[str] | None) -> Callable[..., None]:
    """The command with every flag; without ``arguments`` its help's first line only."""
    if arguments is None:
        return made(speed, (), OWN)
    from dynvit.benchmark.config import bench_flags
    from dynvit.measurements.asked import flags_for
    from dynvit.measurements.base import measurements

    load_named(arguments)
    taken = ("speed_batches", "speed_rounds", "speed_dtype", "compile")
    own = given_flags(flags_for(measurements.get("speed")), taken)
    return made(speed, [*own, *given_flags(bench_flags(), TAKEN)], OWN)
