"""``dynvit attack``: one model, one operating point, under attack."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from dynvit.cli._one_model import ONE_MODEL
from dynvit.cli._options import Values, given_flags, made
from dynvit.cli._plugins import load_named

OWN: dict[str, Any] = {
    "attacks": (Annotated[str, typer.Argument(metavar="ATTACKS", help="fgsm,pgd,… or a preset's name.")], ...),
    **ONE_MODEL,
    "budget": (
        Annotated[str | None, typer.Option(metavar="G", help="Or GMACs an image, solved on calibration.")],
        None,
    ),
}
TAKEN = (
    *("dataset", "data_dir", "split", "limit", "data_seed", "calibration", "backbone", "weights", "image_size"),
    *("batch_size", "workers", "device", "seed", "solve", "output", "plugin"),
)


def attack(values: Values) -> None:
    """Attack accuracy and compute, in every way that the model supports, and say what is left.

    Each attack is a line of robustness.jsonl in the output folder; the same command again repeats none of them.
    """
    from dynvit.api.attacking import attack_tables, run_attack
    from dynvit.terminal import new_console, print_line, print_table

    folder, point = run_attack(values)
    console = new_console()
    if folder is None:
        return
    for table, notes in attack_tables(folder, point):
        print_table(console, table)
        for note in notes:
            print_line(console, f"! {note}")
    print_line(console, f"in {folder}: robustness.jsonl, runs.jsonl")


def command(arguments: Sequence[str] | None) -> Callable[..., None]:
    """The command with every flag; without ``arguments`` its help's first line only."""
    if arguments is None:
        return made(attack, (), OWN)
    from dynvit.benchmark.config import bench_flags
    from dynvit.measurements.asked import flags_for
    from dynvit.measurements.base import measurements

    load_named(arguments)
    own = given_flags(flags_for(measurements.get("robustness")), ("norm", "eps", "attack_option", "masking_checks"))
    return made(attack, [*own, *given_flags(bench_flags(), TAKEN)], OWN)
