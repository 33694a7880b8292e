"""From a budget to a model's operating point, on whatever calibration images there are."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from dynvit.api.images import read_pixels, stacked
from dynvit.benchmark.points import Budgets
from dynvit.budgets import check_feasible
from dynvit.calibration import CALIBRATION_IMAGES, calibration_batches
from dynvit.data.datasets import datasets
from dynvit.data.images import images_in
from dynvit.errors import InputError, unknown
from dynvit.interface import Batch, OperatingPoint
from dynvit.session import find_dataset
from dynvit.solving import Solver, solver_for
from dynvit.units import GIGA, Solve

if TYPE_CHECKING:
    from dynvit.api.model import Model


def budget_macs(model: Model, gmacs: float | None, saving: float | None) -> float:
    """The budget. Units: MACs an image. Raises: ``InputError`` for a value out of range."""
    if saving is not None:
        if not (isinstance(saving, int | float) and 0 <= saving < 1):
            raise InputError(f"saving must be a fraction of the dense backbone's MACs, in [0, 1), got {saving!r}")
        return (1 - saving) * model.session.dense_macs
    if not (isinstance(gmacs, int | float) and gmacs > 0 and math.isfinite(gmacs)):
        raise InputError(f"gmacs must be GMACs an image, above 0, got {gmacs!r}")
    return gmacs * GIGA


def solved(model: Model, macs: float, calibration: Any = None, by: Solve = "cost") -> tuple[OperatingPoint, Solve]:
    """The point for a budget, and what it was solved by. Units: ``macs`` MACs an image, a mean over calibration images.

    Raises: ``InputError`` for a budget out of range, a method without one, and where calibration images are missing.
    """
    if by not in get_args(Solve):
        raise unknown("way to solve a budget", by, get_args(Solve))
    solver = _solver(model, calibration, by)
    if solver is None:
        raise InputError(f"method {model.method!r} has no budget to be set to: {_knobs(model)}")
    check_feasible(macs, solver.range(), f"method {model.method}")
    return solver.solve([macs])[0], solver.by


def _solver(model: Model, calibration: Any, by: Solve) -> Solver | None:
    opened, session = model.opened, model.session
    solves = "budgets" in opened.supports
    if opened.method.budget_knob is None and not solves:
        return None
    if calibration is None:
        if opened.method.adaptive_cost and not session.has_data:
            raise InputError(f"{_calibration_wanted(model)}: what the model was trained on is not known here")
        try:
            return Budgets(session, by=by).solver(opened)
        except InputError as error:
            if not opened.method.adaptive_cost:
                raise
            raise InputError(f"{error}; or give calibration, {_allowed(model)}") from error
    batches = _batches(model, calibration)
    if solves and not opened.model.solves_unlabelled and not all(batch.labelled for batch in batches):
        raise InputError(f"{_calibration_wanted(model)}: the images that are given have no labels")
    return solver_for(opened.model, opened.method.budget_knob, opened.knobs, batches, by)


def _batches(model: Model, calibration: Any) -> list[Batch]:
    opened = model.opened
    if isinstance(calibration, str | os.PathLike):
        folder, name = Path(calibration), os.fspath(calibration)
        found = [] if name in datasets.names() or not folder.is_dir() else list(images_in(folder))
        if not found:
            return _split(model, name)
        calibration = _spread(found, CALIBRATION_IMAGES)
    pixels = read_pixels(calibration, opened.preprocessing)
    batches = list(stacked(pixels, model.device, model.classes))
    if not batches:
        raise InputError(f"calibration has no image: {_allowed(model)}")
    return batches


def _split(model: Model, name: str) -> list[Batch]:
    from dynvit.api.measuring import session_on

    try:
        find_dataset(name)
    except InputError as error:
        raise InputError(f"calibration {name!r} is no folder of images, and {error}: give {_allowed(model)}") from error
    opened, session = model.opened, session_on(model, name)
    source, seed = session.split("calibration"), session.data_seed
    return calibration_batches(
        source,
        opened.preprocessing,
        model.classes,
        model.device,
        seed=seed,
        augment=opened.calibration_augment,
    )


def _spread(paths: list[Path], count: int) -> list[Path]:
    """At most so many, evenly over the sorted names: a folder may be sorted by class."""
    if len(paths) <= count:
        return paths
    return [paths[place * len(paths) // count] for place in range(count)]


def _calibration_wanted(model: Model) -> str:
    return f"method {model.method!r} is set to a budget on calibration images; give calibration, {_allowed(model)}"


def _allowed(model: Model) -> str:
    labels = "budgets" in model.opened.supports and not model.opened.model.solves_unlabelled
    return (
        "a data set's name or a DataLoader of images and labels"
        if labels
        else "a folder of images, a data set's name, a list of images, or a DataLoader"
    )


def _knobs(model: Model) -> str:
    return f"set its knobs, {', '.join(model.knobs)}" if model.knobs else "it has one operating point"
