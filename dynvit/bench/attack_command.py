"""What ``dynvit attack`` does and says: a bench of one arm and one point, whose robustness is what is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from dynvit.bench.command import command_line
from dynvit.bench.config import BenchConfig, load_config
from dynvit.bench.run import Bench
from dynvit.checkpoint import read_config
from dynvit.errors import InputError
from dynvit.explain.trained import parse_point
from dynvit.interface import OperatingPoint, methods
from dynvit.leaderboard.follow_up import RUNS, read_run
from dynvit.measurements.robustness.masking import with_findings
from dynvit.measurements.robustness.summary import attacks_on
from dynvit.measurements.robustness.table import attack_table
from dynvit.options import parse_options
from dynvit.processes import fit_threads
from dynvit.registry import load_plugin


def run_attack(flags: Mapping[str, Any], knobs: Sequence[str]) -> None:
    """Attack one point, and print a row an attack.

    Raises: ``InputError`` for whatever is wrong, before anything is measured.
    """
    for file in flags.get("plugin", ()):
        load_plugin(file)
    config = _checked(load_config(None, {**_of_checkpoint(flags), "train": False}), knobs)
    [name] = config.methods
    if config.output is None:
        config = config.model_copy(update={"output": f"runs/attack-{name}-{config.dataset}"})
    point = _point(config, knobs)
    bench = Bench.plan(config, command_line(), point=point)
    fit_threads(bench.dense_macs)
    bench.run()
    from accelerate import PartialState

    if not PartialState().is_main_process:
        return
    console = Console(highlight=False)
    for record in with_findings(read_run(bench.folder / RUNS)):
        if attacks_on(record) and (point is None or record.point.knobs == dict(point)):
            console.print(attack_table(record))
            for finding in record.findings:
                console.print(f"! {finding}", markup=False, soft_wrap=True)
    console.print(f"in {bench.folder}: robustness.jsonl, runs.jsonl", markup=False, soft_wrap=True)


def _of_checkpoint(flags: Mapping[str, Any]) -> dict[str, Any]:
    """A folder of ``dynvit train`` knows its dataset and backbone; what is given wins."""
    [name] = flags["methods"]
    [path] = flags.get("method_checkpoint", {}).get(name, (None,))
    if path is None or not Path(path).is_dir():
        return dict(flags)
    made = read_config(Path(path))
    known = {"dataset": made.dataset, "backbone": made.backbone_info.name, "seed": made.training.seed}
    return known | dict(flags)


def _checked(config: BenchConfig, knobs: Sequence[str]) -> BenchConfig:
    if not config.robustness:
        raise InputError("name an attack: fgsm,pgd for one (dynvit ls attacks)")
    if knobs and config.budgets:
        raise InputError("--knob and --budget both name the operating point: give one of the two")
    return config


def _point(config: BenchConfig, given: Sequence[str]) -> OperatingPoint | None:
    """The point that is named by its knobs; None: a budget names it, or the method has no knob."""
    [name] = config.methods
    kind = methods.get(name)
    method = kind()
    knobs = method.knobs(parse_options(kind.Options, config.options.get(name, ())))
    if given:
        return parse_point(knobs, given)
    if knobs and not config.budgets:
        raise InputError(
            f"method {name!r} has knobs ({', '.join(knobs)}): name the point to attack by --knob NAME=VALUE, each of "
            "them, or by --budget GMACS"
        )
    return None
