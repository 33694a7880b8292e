"""``dynvit plan``: what a bench consists of, one command a cell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from dynvit.cli._options import Values, made
from dynvit.cli.bench import SUITE, all_options

OWN: dict[str, Any] = {
    "suite": SUITE,
    "json": (Annotated[bool, typer.Option("--json", help="Print JSON.", rich_help_panel="Output")], False),
}


def plan(values: Values) -> None:
    """Print the cells of a bench: one command each, what must be done before, about how long it takes.

    The options are those of dynvit bench. A few steps of each training are run, and nothing is written.
    """
    import json

    from dynvit.api.benching import plan_bench
    from dynvit.api.dividing import cell_lines, command_words, plan_cells
    from dynvit.plain import say

    suite, as_json = values.pop("suite", None), values.pop("json")
    words = command_words(suite, values)
    found = plan_cells(plan_bench(suite, values), words)
    if as_json:
        say(json.dumps(found, indent=1))
        return
    for line in cell_lines(found):
        say(line)


def command(arguments: Sequence[str] | None) -> Callable[..., None]:
    """The command with bench's flags; without ``arguments`` its help's first line only."""
    return made(plan, all_options(arguments), OWN, own_last=True)
