"""Entries whose weights nobody has any more: trained again as their record says, then measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dynvit.api.verifying import Absent, Asked, Other, measured
from dynvit.benchmark.config import load_config, read_suite
from dynvit.benchmark.points import Budgets
from dynvit.benchmark.run import Bench
from dynvit.errors import InputError
from dynvit.interface import OperatingPoint
from dynvit.knobs import point_of
from dynvit.leaderboard.record import Record
from dynvit.leaderboard.verification import Verification
from dynvit.measurements.asked import joined
from dynvit.session import OpenModel
from dynvit.units import GIGA

# What of a command says where something lay on the machine that ran it, and in which parts it was done there.
ELSEWHERE = (
    *("output", "data_dir", "plugin", "suite", "fresh", "dry_run", "device", "workers", "storage"),
    *("share", "cell", "launcher", "scheduler", "slurm"),
)


def trained_again(
    records: Sequence[Record], values: Mapping[str, Any], folder: Path, asked: Asked
) -> Iterator[Verification | Absent | Other]:
    """Train the models of some records as the command that made them says, and measure each at its budget.

    Args:
        records: made by one command.
        values: the options of that command.
        folder: for what is trained; a second call goes on with it.
        asked: how it is measured.

    Raises: ``InputError`` for a command that names files of another machine.
    """
    config = load_config(None, _options(values))
    names = {record.method.name for record in records}
    config = config.model_copy(
        update={
            "methods": tuple(name for name in config.methods if name in names),
            "options": {name: given for name, given in config.options.items() if name in names},
            "measurements": {},
            "output": str(folder),
            "data_dir": asked.data_dir,
            "device": asked.device,
        }
    )
    bench = Bench.plan(config, asked.command)
    models = bench.preparation.models(folder, asked.command)
    budgets = Budgets(bench.session, (), config.points, config.batch_size, by=config.solve, trials=config.trials)
    for record in records:
        model = _model_of(record, models)
        if model is None:
            yield Absent(record.record_id, "the command that made it trains no such model")
            continue
        if (what := _other_training(record, model)) is not None:
            yield Other(record.record_id, what)
            continue
        yield from measured(bench.session, model, [record], [_point(record, model, budgets)], asked, "trained again")


def _options(values: Mapping[str, Any]) -> dict[str, Any]:
    """What the command asks for, by its suite and its own words, which win.

    Raises: ``InputError`` where the suite is not here, and for weights of another machine.
    """
    suite = values.get("suite")
    if suite is not None and not Path(suite).is_file():
        raise InputError(
            f"the command that made these entries reads its options from {suite!r}, which is not here: put that file "
            "there, or say where the weights are by --run or --weights"
        )
    given = joined({} if suite is None else read_suite(suite), values)
    here = {name: value for name, value in given.items() if name not in ELSEWHERE}
    if here.get("method_checkpoint") or here.get("weights"):
        raise InputError(
            "the command that made these entries begins with weights of its own machine: find them, and say where they "
            "are by --run or --weights"
        )
    return here


def _other_training(record: Record, model: OpenModel) -> str | None:
    """How a model was trained otherwise than the record's, as far as both say; a suite may have been edited since."""
    was = None if record.training is None else record.training.recipe_sha256
    made = model.training_record().recipe_sha256
    if was is None or made is None or was == made:
        return None
    return f"trained again by recipe {made[:12]}, its record says {was[:12]}: its command makes another model now"


def _model_of(record: Record, models: Sequence[OpenModel]) -> OpenModel | None:
    target = record.training and record.training.target
    for model in models:
        same = model.name == record.method.name and model.training_seed == record.seeds.training
        if same and (model.config is None or model.config.target == target):
            return model
    return None


def _point(record: Record, model: OpenModel, budgets: Budgets) -> OperatingPoint:
    """At the same budget, set anew: thresholds mean something else with other weights."""
    target = record.point.target_gmacs
    solver = None if target is None else budgets.solver(model)
    if target is None or solver is None:
        return point_of(model.knobs, record.point.knobs)
    return solver.solve([target * GIGA])[0]
