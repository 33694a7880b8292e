"""How a model is set to a budget: by its cost alone, or by accuracy where several points cost the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from optuna.distributions import BaseDistribution

from dynvit.budgets import SLACK, CostRange, KnobSolver, answers
from dynvit.errors import InputError
from dynvit.interface import Batch, DynamicModel, OperatingPoint
from dynvit.search import Objectives, Sampling, search
from dynvit.units import GIGA, Solve

TRIALS = 32
"""Points that a search for accuracy looks at, where nobody says otherwise."""


class Solver(Protocol):
    """What sets a model to budgets. Units: MACs per image."""

    @property
    def by(self) -> Solve:
        """What it looks at."""
        ...

    def range(self) -> CostRange:
        """The least and the most expensive setting."""
        ...

    def solve(self, budgets: Sequence[float]) -> list[OperatingPoint]:
        """A point for each budget. Raises: ``InputError`` for one below the range."""
        ...


@dataclass(frozen=True)
class ModelSolver:
    """The budgets of a model that solves them itself."""

    model: DynamicModel
    calibration: Sequence[Batch]
    by: Solve = "cost"

    def range(self) -> CostRange:
        """The least and the most expensive setting."""
        return CostRange(*self.model.feasible_range(self.calibration))

    def solve(self, budgets: Sequence[float]) -> list[OperatingPoint]:
        """For each budget the point that the model finds."""
        own = self.model.solve_for_accuracy if self.by == "accuracy" else self.model.solve
        return list(own(budgets, self.calibration))


@dataclass(frozen=True)
class SearchedSolver:
    """The most accurate points that a search finds, which begins at those that are solved by cost.

    So no budget gets a point that is less accurate on calibration than the one it has by cost.
    """

    by_cost: Solver
    model: DynamicModel
    knobs: Mapping[str, BaseDistribution]
    calibration: Sequence[Batch]
    trials: int = TRIALS
    seed: int = 0
    by: Solve = "accuracy"

    def range(self) -> CostRange:
        """As by cost."""
        return self.by_cost.range()

    def solve(self, budgets: Sequence[float]) -> list[OperatingPoint]:
        """For each budget the most accurate point within it, the cheapest of equals."""
        seen: dict[OperatingPoint, Objectives] = {}

        def measure(point: OperatingPoint) -> Objectives:
            if point not in seen:
                seen[point] = measured(self.model, point, self.calibration)
            return seen[point]

        first = list(dict.fromkeys(self.by_cost.solve(budgets)))
        sampling = Sampling("nsga2", max(self.trials, len(first)), self.seed)
        search(self.knobs, sampling, measure, first=first)
        return [self._best(seen, budget) for budget in budgets]

    def _best(self, seen: Mapping[OperatingPoint, Objectives], budget: float) -> OperatingPoint:
        within = [point for point, worth in seen.items() if worth.gmacs * GIGA <= budget * (1 + SLACK)]
        if not within:  # what is solved by cost may exceed a budget where nothing is as cheap
            return self.by_cost.solve([budget])[0]
        return max(within, key=lambda point: (seen[point].top1_pct, -seen[point].gmacs))


def solver_for(
    model: DynamicModel,
    budget_knob: str | None,
    knobs: Mapping[str, BaseDistribution],
    calibration: Sequence[Batch],
    by: Solve = "cost",
    *,
    trials: int = TRIALS,
    seed: int = 0,
) -> Solver | None:
    """How a model is set to a budget; None for one that has no budget to be set to.

    With one knob a budget leaves no choice, and it is solved by cost whatever is asked.

    Args:
        model: what is set.
        budget_knob: along which compute rises, where the model does not solve budgets itself.
        knobs: all of the method's.
        calibration: images, with labels where accuracy is asked for.
        by: cost, or accuracy.
        trials: points that a search for accuracy looks at.
        seed: of that search.

    Raises: ``InputError`` for accuracy on images without labels.
    """
    if "budgets" in model.supports:
        found: Solver | None = ModelSolver(model, calibration)
    else:
        found = None if budget_knob is None else KnobSolver(model, budget_knob, knobs, calibration)
    if found is None or by == "cost" or len(knobs) < 2:
        return found
    if not all(batch.labelled for batch in calibration):
        raise InputError("solving by accuracy takes calibration images with labels: give some, or solve by cost")
    if "accurate budgets" in model.supports:
        return ModelSolver(model, calibration, by)
    return SearchedSolver(found, model, knobs, calibration, trials, seed)


def measured(model: DynamicModel, point: OperatingPoint, calibration: Sequence[Batch]) -> Objectives:
    """Accuracy and cost of ``predict`` at a point on labelled calibration images. Raises: as ``answers``."""
    right, spent = [], []
    for batch, prediction, macs in answers(model, point, calibration):
        right.append((prediction.logits.argmax(1) == batch.labels).double())
        spent.append(macs)
    return Objectives(100 * float(torch.cat(right).mean()), float(torch.cat(spent).mean()) / GIGA)
