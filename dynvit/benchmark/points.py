"""Which points a sweep measures: the same budgets for every model, each set to them on calibration images."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field

from accelerate import PartialState

from dynvit.budgets import check_feasible, common_budgets, noise_batch
from dynvit.calibration import calibration_batches
from dynvit.interface import Batch, OperatingPoint
from dynvit.measurements.accuracy.record import Target
from dynvit.plain import say
from dynvit.session import OpenModel, Session
from dynvit.solving import TRIALS, Solver, solver_for
from dynvit.units import GIGA, Solve

QUICK = 256
"""Calibration images that are no wait."""


@dataclass(frozen=True)
class Budgets:
    """The budgets of a sweep: those that are named, else as many as asked for.

    ``by``: what models are set by, cost or accuracy; ``trials`` and ``seed`` of a search for accuracy; ``common``: the
    budgets, where they were found before. Units: ``named`` GMACs an image, ``common`` MACs.
    """

    session: Session
    named: Sequence[float] = ()
    count: int = 8
    batch_size: int = 64
    by: Solve = "cost"
    trials: int = TRIALS
    seed: int = 0
    common: Sequence[float] | None = None
    _decoded: dict[Hashable, list[Batch]] = field(default_factory=dict)

    def points(self, models: Sequence[OpenModel]) -> Mapping[str, list[Target]]:
        """The same budgets for every model, and the point it was trained for; by label.

        A model without a budget has its only point. Where budgets are named, they are all that is measured.
        Raises: ``InputError`` for a budget that a model cannot be set to.
        """
        solvers = {opened.label: self.solver(opened) for opened in models}
        budgets = self._budgets(solvers) if self.common is None else list(self.common)
        return {opened.label: self._targets(opened, solvers[opened.label], budgets) for opened in models}

    def found(self, models: Sequence[OpenModel]) -> list[float]:
        """The budgets alone. Units: MACs an image. Raises: as ``points``."""
        return self._budgets({opened.label: self.solver(opened) for opened in models})

    def _budgets(self, solvers: Mapping[str, Solver | None]) -> list[float]:
        ranges = {label: solver.range() for label, solver in solvers.items() if solver is not None}
        budgets = [budget * GIGA for budget in self.named]
        for budget in budgets:
            for label, feasible in ranges.items():
                check_feasible(budget, feasible, label)
        if not budgets and ranges:
            budgets = common_budgets(list(ranges.values()), self.count)
        return budgets

    def solver(self, opened: OpenModel) -> Solver | None:
        """How budgets become a model's points; None for one that has no budget to be set to."""
        calibration = self._calibration(opened)
        images = sum(len(batch.images) for batch in calibration)
        if images > QUICK and PartialState().is_main_process:  # fewer are done before anybody wonders
            say(f"budgets: setting {opened.label} to them on {images:,} calibration images", err=True)
        knob, knobs = opened.method.budget_knob, opened.knobs
        return solver_for(opened.model, knob, knobs, calibration, self.by, trials=self.trials, seed=self.seed)

    def _targets(self, opened: OpenModel, solver: Solver | None, budgets: Sequence[float]) -> list[Target]:
        if solver is None:
            return [only_point(opened)]
        points = solver.solve(budgets)
        _say_duplicates(opened.label, points, budgets)
        targets = [Target(point, budget / GIGA, solver.by) for point, budget in zip(points, budgets, strict=True)]
        trained = opened.trained_point
        if trained is not None and trained not in points and not self.named:
            targets.append(Target(trained))
        return targets if self.named else [*targets, *published(opened)]

    def _calibration(self, opened: OpenModel) -> list[Batch]:
        """Images to solve budgets on: one of noise does where every image costs alike."""
        size = opened.preprocessing.image_size
        solves = "budgets" in opened.supports
        if opened.method.budget_knob is None and not solves:
            return []
        device = next(opened.model.parameters()).device
        searched = self.by == "accuracy" and len(opened.knobs) > 1
        if not (opened.method.adaptive_cost or searched):
            return [noise_batch((size, size), device)]
        # Models that see the same images share them: a calibration split is decoded, and held, once.
        same = opened.preprocessing, opened.backbone.num_classes, opened.calibration_augment
        if same not in self._decoded:
            self._decoded[same] = calibration_batches(
                self.session.split("calibration"),
                opened.preprocessing,
                opened.backbone.num_classes,
                device,
                seed=self.session.data_seed,
                batch_size=self.batch_size,
                augment=opened.calibration_augment,
            )
        return self._decoded[same]


def published(opened: OpenModel) -> list[Target]:
    """The points that the authors of a published checkpoint stored with it."""
    return [Target(point, origin="published") for point in opened.model.published_points]


def only_point(opened: OpenModel) -> Target:
    """The point of a method that has one."""
    return Target(opened.model.neutral or OperatingPoint())


def _say_duplicates(label: str, points: Sequence[OperatingPoint], budgets: Sequence[float]) -> None:
    """Budgets that got the same point are one record: say which, so that nobody looks for the others."""
    sharing: dict[OperatingPoint, list[str]] = {}
    for point, budget in zip(points, budgets, strict=True):
        sharing.setdefault(point, []).append(f"{budget / GIGA:.4g}")
    duplicates = [" = ".join(group) for group in sharing.values() if len(group) > 1]
    if duplicates:
        warnings.warn(
            f"{label} has {len(sharing)} points for {len(budgets)} budgets: the same point is best at "
            f"{', '.join(duplicates)} GMACs, and measured once",
            stacklevel=2,
        )
