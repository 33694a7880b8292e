"""One model at a few points beside its dense backbone, on the clock."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from dynvit.api.benching import command_line
from dynvit.api.one_model import as_bench, open_only
from dynvit.benchmark.config import BenchConfig, load_config
from dynvit.benchmark.points import Budgets
from dynvit.errors import InputError
from dynvit.interface import OperatingPoint
from dynvit.knobs import parse_point, point_said
from dynvit.measurements.accuracy.record import name_of
from dynvit.measurements.run import Run
from dynvit.measurements.runner import Runner
from dynvit.measurements.speed.measurement import Speed
from dynvit.measurements.speed.table import curve_table, faster_from
from dynvit.measurements.task import MeasuredPoint
from dynvit.processes import fit_threads
from dynvit.session import OpenModel, Session, open_session

if TYPE_CHECKING:
    from rich.table import Table


def timing_tables(given: Mapping[str, Any]) -> Iterator[tuple[Table, str]]:
    """Time each point: a table, and one line on where it is faster. ``given`` are the options of ``dynvit speed``.

    Raises: ``InputError`` for whatever is wrong, before anything is timed.
    """
    values = as_bench(given)
    knobs: Sequence[str] = values.pop("knob", None) or ()
    threads, output = _threads(values.pop("threads", None)), _output(values.pop("output", None))
    if knobs and values.get("budgets"):
        raise InputError("--knob and --budgets both name operating points: give one of the two")
    if values.get("points") is not None and (knobs or values.get("budgets")):
        named = "--knob names one operating point" if knobs else "--budgets names the operating points"
        raise InputError(f"{named}: leave out --points")
    config = load_config(None, {"points": 3, **values, "speed": True})
    session = open_session(config)
    opened = open_only(config, session)
    if threads is None:
        fit_threads(session.dense_macs)
    else:
        torch.set_num_threads(threads)
    run = Run.of(session, session.split(), Path(), command_line())
    settings: Any = config.measurements["speed"]
    measurement = Speed(settings)
    measurement.measurer.check(session, run.source)
    opened.model.eval().to(run.device)
    runner = Runner(measurement, run, measurement.store(output))
    where = f"{session.dataset.name} {run.split}"
    for point in _points(config, session, opened, knobs):
        at = MeasuredPoint(opened, point, name_of(opened, point, run))
        tasks = list(measurement.measurer.tasks([at], run))
        runner.do(tasks)
        found = runner.results(tasks)
        if found:
            yield (
                curve_table(f"{opened.label} {point_said(point)} on {opened.backbone.name}", found, where),
                faster_from(found),
            )


def _points(config: BenchConfig, session: Session, opened: OpenModel, knobs: Sequence[str]) -> list[OperatingPoint]:
    if knobs:
        return [parse_point(opened.knobs, knobs)]
    budgets = Budgets(session, config.budgets, config.points, by=config.solve, seed=config.seed)
    targets = budgets.points([opened])[opened.label]
    return list(dict.fromkeys(target.point for target in targets))


def _threads(text: str | None) -> int | None:
    try:
        count = None if text is None else int(text)
    except ValueError:
        count = 0
    if count is not None and count < 1:
        raise InputError(f"--threads must be 1 or more, got {text}")
    return count


def _output(text: str | None) -> Path | None:
    if text is None:
        return None
    path = Path(text)
    if path.is_dir():
        raise InputError(f"--output {text!r} is a folder: lines of JSON go into a file")
    if not path.absolute().parent.is_dir():
        raise InputError(f"--output {text!r}: there is no folder {str(path.parent)!r}; make it first")
    return path
