"""Models whose points lie on one path, from keeping everything to dropping all that can be dropped."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar

import torch

from dynvit import cost
from dynvit.errors import InputError
from dynvit.interface import Batch, DynamicModel, OperatingPoint
from dynvit.ops.threshold_path import strengths_for
from dynvit.units import GIGA


class StrengthModel(DynamicModel):
    """A model that solves budgets by a strength: 0 keeps everything, 1 is what was trained, infinity drops all.

    Cost need not fall strictly with the strength: what a later block decides depends on what an earlier one kept. So a
    budget gets the most expensive point within it of those that were tried, and never one above it.
    """

    supports = frozenset({"budgets", "frozen gates"})
    solves_unlabelled = True
    name: ClassVar[str]
    """The method's, for messages."""
    cheapest: OperatingPoint
    """The point of strength infinity; ``neutral`` is that of strength 0."""

    @abstractmethod
    def path(self, calibration: Sequence[Batch]) -> Callable[[float], OperatingPoint]:
        """The point of each strength, as calibration images have it. Called without gradient, in eval mode."""

    def feasible_range(self, calibration: Sequence[Batch]) -> tuple[float, float]:
        """The cost of the cheapest and of the neutral point. Units: mean MACs per image."""
        assert self.neutral is not None
        return self.mean_macs(self.cheapest, calibration), self.mean_macs(self.neutral, calibration)

    @torch.no_grad()
    def solve(self, budgets: Sequence[float], calibration: Sequence[Batch]) -> list[OperatingPoint]:
        """For each budget the most expensive point found within it on the calibration images.

        Units: budgets in MACs per image. Raises: ``InputError`` for a budget out of range, naming the range.
        """
        low, high = self.feasible_range(calibration)
        for budget in budgets:
            if not low * (1 - 1e-9) <= budget <= high * (1 + 1e-9):
                raise InputError(
                    f"a budget of method {self.name} must be {low / GIGA:.4g} to {high / GIGA:.4g} GMACs per image, "
                    f"got {budget / GIGA:.4g}"
                )
        self.eval()
        point = self.path(calibration)
        return [point(s) for s in strengths_for(lambda s: self.mean_macs(point(s), calibration), budgets)]

    @torch.no_grad()
    def mean_macs(self, point: OperatingPoint, calibration: Sequence[Batch]) -> float:
        """What ``predict`` spends at a point. Units: mean MACs per image."""
        self.eval()
        found = [cost.macs(self.predict(batch.images, point).usage).double() for batch in calibration]
        return float(torch.cat(found).mean())
