"""One model under attack at one point: a bench whose robustness is what is asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dynvit.api.benching import command_line
from dynvit.api.one_model import as_bench
from dynvit.benchmark.config import BenchConfig, bench_flags, load_config
from dynvit.benchmark.run import Bench
from dynvit.errors import InputError
from dynvit.interface import OperatingPoint
from dynvit.knobs import parse_point
from dynvit.processes import fit_threads
from dynvit.report import read_run
from dynvit.session import Session, Wanted, open_session
from dynvit.settings import validated

if TYPE_CHECKING:
    from rich.table import Table


def run_attack(given: Mapping[str, Any]) -> tuple[Path | None, OperatingPoint | None]:
    """Attack one point. Returns the folder with what came out, None in every process but the first; and the point.

    ``given`` are the options of ``dynvit attack``. Raises: ``InputError`` for whatever is wrong, before anything is
    measured.
    """
    values = as_bench(given)
    knobs: Sequence[str] = values.pop("knob", None) or ()
    budget, attacks = values.pop("budget", None), values.pop("attacks", None)
    if not attacks:
        raise InputError("name an attack: fgsm,pgd for one (dynvit ls attacks)")
    if knobs and budget is not None:
        raise InputError("--knob and --budget both name the operating point: give one of the two")
    limit = values.setdefault("limit", 256)
    validated(BenchConfig, {"methods": None, "limit": limit}, bench_flags())  # as --limit, not as --robustness-limit
    values |= {"robustness": attacks, "robustness_points": "all", "robustness_limit": limit}
    values |= {} if budget is None else {"budgets": budget}
    config = load_config(None, values)
    session = open_session(config)
    [name] = config.methods
    if config.output is None:
        config = config.model_copy(update={"output": f"runs/attack-{name}-{session.dataset.name}"})
    point = _point(config, session, knobs)
    bench = Bench.plan(config, command_line(), point=point)
    fit_threads(session.dense_macs)
    bench.run()
    from accelerate import PartialState

    return (bench.folder if PartialState().is_main_process else None), point


def attack_tables(folder: Path, point: OperatingPoint | None) -> Iterator[tuple[Table, Sequence[str]]]:
    """A table of every attack on the point, and the signs of masked gradients; of every point where it is None."""
    from dynvit.measurements.robustness.summary import summarise
    from dynvit.measurements.robustness.table import attack_table

    run = read_run(folder)
    results = run.results["robustness"]
    signs = summarise(run.records, results)
    for record in run.records:
        attacks = results.get(record.record_id)
        if attacks and (point is None or record.point.knobs == dict(point)):
            yield attack_table(record, attacks), signs[record.record_id].masking_signs


def _point(config: BenchConfig, session: Session, given: Sequence[str]) -> OperatingPoint | None:
    """The point that is named by its knobs; None: a budget names it, or the method has no knob."""
    [name] = config.methods
    [checkpoint] = config.method_checkpoint.get(name, (None,))
    wanted = Wanted.of(name, config.options.get(name, ()), checkpoint)
    knobs = session.knobs(wanted)
    if given:
        return parse_point(knobs, given)
    if knobs and not config.budgets:
        raise InputError(
            f"method {name!r} has knobs ({', '.join(knobs)}): name the point to attack by --knob NAME=VALUE, each of "
            "them, or by --budget GMACS"
        )
    return None
