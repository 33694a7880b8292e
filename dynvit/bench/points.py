"""Which points a sweep measures: the same budgets for every arm, each set to them on calibration images."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from accelerate import PartialState

from dynvit.bench.config import BenchConfig
from dynvit.budgets import KnobSolver, ModelSolver, check_feasible, common_budgets, noise_batch, solver_for
from dynvit.calibration import CALIBRATION_IMAGES, calibration_batches
from dynvit.data import open_split
from dynvit.data.source import ImageSource
from dynvit.interface import Batch, OperatingPoint
from dynvit.measurements.accuracy.measure import Target
from dynvit.session.open_model import OpenModel
from dynvit.units import GIGA


@dataclass(frozen=True)
class LadderPlan:
    """The points of a sweep over budgets."""

    config: BenchConfig
    device: torch.device
    _decoded: dict[Hashable, list[Batch]] = field(default_factory=dict)

    def points(self, arms: Sequence[OpenModel]) -> Mapping[str, list[Target]]:
        """The same budgets for every arm, and the point it was trained for; one without a budget has its only point.

        Where budgets are named, they are all that is measured.

        Raises: ``InputError`` for a budget that an arm cannot be set to.
        """
        ladders = {arm.label: self._ladder(arm) for arm in arms}
        ranges = {label: ladder.range() for label, ladder in ladders.items() if ladder is not None}
        budgets = [budget * GIGA for budget in self.config.budgets]
        for budget in budgets:
            for label, reach in ranges.items():
                check_feasible(budget, reach, label)
        if not budgets and ranges:
            budgets = common_budgets(list(ranges.values()), self.config.points)
        plan = {}
        for arm in arms:
            ladder = ladders[arm.label]
            if ladder is None:
                plan[arm.label] = [only_point(arm)]
            else:
                points = ladder.solve(budgets)
                _say_what_folds(arm.label, points, budgets)
                plan[arm.label] = [Target(point, budget / GIGA) for point, budget in zip(points, budgets, strict=True)]
                aimed_at = arm.model.trained_point
                if aimed_at is not None and aimed_at not in points and not self.config.budgets:
                    plan[arm.label].append(Target(aimed_at))
        return plan

    def _ladder(self, arm: OpenModel) -> KnobSolver | ModelSolver | None:
        calibration = self._calibration(arm)
        images = sum(len(batch.images) for batch in calibration)
        if images > CALIBRATION_IMAGES and PartialState().is_main_process:  # fewer are done before anybody wonders
            sys.stderr.write(f"budgets: setting {arm.label} to them on {images:,} calibration images\n")
            sys.stderr.flush()
        return solver_for(arm.model, arm.method.budget_knob, arm.knobs, calibration)

    def _calibration(self, arm: OpenModel) -> list[Batch]:
        """Images to solve budgets on: one of noise does where every image costs alike."""
        size = arm.preprocessing.image_size
        if arm.method.budget_knob is None and "budgets" not in arm.model.supports:
            return []
        if not arm.method.adaptive_cost:
            return [noise_batch((size, size), self.device)]
        # Arms that see the same images share them: a calibration split is decoded, and held, once.
        same = arm.preprocessing, arm.backbone.num_classes, "budgets" in arm.model.supports
        if same not in self._decoded:
            self._decoded[same] = calibration_batches(
                arm.model,
                open_calibration(self.config),
                arm.preprocessing,
                arm.backbone.num_classes,
                self.device,
                self.config.batch_size,
            )
        return self._decoded[same]


def open_calibration(config: BenchConfig) -> ImageSource:
    """The images that points are chosen on."""
    return open_split(
        config.dataset,
        "calibration",
        data_dir=config.data_dir,
        seed=config.seed,
        calibration=config.calibration,
        on_bad_sample=config.on_bad_sample,
    )


def only_point(arm: OpenModel) -> Target:
    """The point of a method that has one."""
    return Target(arm.model.neutral or OperatingPoint())


def _say_what_folds(label: str, points: Sequence[OperatingPoint], budgets: Sequence[float]) -> None:
    """Budgets that got the same point are one record: say which, so that nobody looks for the others."""
    sharing: dict[OperatingPoint, list[str]] = {}
    for point, budget in zip(points, budgets, strict=True):
        sharing.setdefault(point, []).append(f"{budget / GIGA:.4g}")
    folded = [" = ".join(group) for group in sharing.values() if len(group) > 1]
    if folded:
        warnings.warn(
            f"{label} has {len(sharing)} points for {len(budgets)} budgets: it is best set alike at "
            f"{', '.join(folded)} GMACs, and measured there once",
            stacklevel=2,
        )
