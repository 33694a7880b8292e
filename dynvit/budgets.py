"""From budgets to operating points: what each method is set to so that all meet on one axis of compute."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from torch import Tensor

from dynvit import cost
from dynvit.contract import check_prediction
from dynvit.errors import InputError
from dynvit.finite import check_logits, check_macs
from dynvit.interface import Batch, DynamicModel, KnobValue, OperatingPoint, Prediction
from dynvit.units import GIGA, Solve

# A float knob is searched and reported in steps of a ten-thousandth of its range: finer changes no token count. Of a
# logarithmic one, steps are of its logarithm.
STEPS = 10_000
DECIMALS, DIGITS = 6, 9  # what is written of a value: decimals, or where these are too few, significant digits
SLACK = 1e-9  # a budget that is a cost written down and read again is still that cost


@dataclass(frozen=True)
class CostRange:
    """What a method can be set to cost. Units: mean MACs per image."""

    low: float
    high: float


class KnobSolver:
    """A model's cost along its budget knob, measured by running it on calibration images.

    Units: MACs per image. A model whose images all cost alike needs one calibration image.
    """

    by: Solve = "cost"

    def __init__(
        self,
        model: DynamicModel,
        knob: str,
        knobs: Mapping[str, BaseDistribution],
        calibration: Sequence[Batch],
    ) -> None:
        distribution = knobs[knob]
        if not isinstance(distribution, FloatDistribution | IntDistribution):
            raise InputError(f"budget knob {knob!r} is a {type(distribution).__name__}: it must be a number's range")
        self._knob = knob
        self._fixed = {name: _most(other) for name, other in knobs.items() if name != knob}
        self._grid = _grid(distribution)
        measured: Callable[[int], float] = lambda index: mean_macs(model, self.point(index), calibration)  # noqa: E731
        self._macs = cache(measured)
        # Compute falls with a drop rate and rises with a keep ratio: both are searched from the cheap end.
        if self._macs(0) > self._macs(len(self._grid) - 1):
            self._grid = self._grid[::-1]
            self._macs.cache_clear()

    def point(self, index: int) -> OperatingPoint:
        """The operating point at one step of the grid, the other knobs at the end of their range."""
        return OperatingPoint(**{self._knob: self._grid[index]}, **self._fixed)

    def range(self) -> CostRange:
        """The least and the most expensive step."""
        return CostRange(self._macs(0), self._macs(len(self._grid) - 1))

    def solve(self, budgets: Sequence[float]) -> list[OperatingPoint]:
        """For each budget the most expensive step within it.

        Raises: ``InputError`` for a budget below the range, naming the range; one above it gets the last step.
        """
        return [self.point(self._bisect(budget)) for budget in budgets]

    def _bisect(self, budget: float) -> int:
        low, high = 0, len(self._grid) - 1
        if self._macs(high) <= budget * (1 + SLACK):
            # Just below its neutral point a method may cost more than at it: predictors run and drop next to nothing.
            return high
        check_feasible(budget, self.range())
        while low < high:
            middle = (low + high + 1) // 2
            if self._macs(middle) <= budget * (1 + SLACK):
                low = middle
            else:
                high = middle - 1
        return low


def check_feasible(budget: float, feasible: CostRange, who: str = "the method") -> None:
    """Raises: ``InputError`` for a budget that a method cannot be set to. Units: MACs per image."""
    if not feasible.low * (1 - SLACK) <= budget <= feasible.high * (1 + SLACK):
        raise InputError(
            f"a budget of {budget / GIGA:.4g} GMACs is out of range: {who} goes from {feasible.low / GIGA:.4g} to "
            f"{feasible.high / GIGA:.4g} GMACs per image; give --budgets within that"
        )


def common_budgets(ranges: Sequence[CostRange], points: int) -> list[float]:
    """``points`` budgets, evenly spaced over what all the methods can be set to.

    Units: MACs per image. Raises: ``InputError`` where the methods share no range.

    >>> common_budgets([CostRange(2.0, 10.0), CostRange(4.0, 12.0)], 3)
    [4.0, 7.0, 10.0]
    """
    low, high = max(r.low for r in ranges), min(r.high for r in ranges)
    if low > high:
        raise InputError(
            f"the methods share no budget: one starts at {low / GIGA:.4g} GMACs, another ends at "
            f"{high / GIGA:.4g}; bench them apart or give --budgets"
        )
    return [float(b) for b in np.linspace(low, high, points)] if points > 1 else [high]


def noise_batch(size: tuple[int, int], device: torch.device | str = "cpu") -> Batch:
    """One image of noise: all that a solver needs where every image costs alike.

    Units: ``size`` height and width in pixels.
    """
    noise = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0)).to(device)
    return Batch(noise, torch.zeros(1, dtype=torch.int64), torch.zeros(1, 1))


def answers(
    model: DynamicModel, point: OperatingPoint, calibration: Sequence[Batch]
) -> Iterator[tuple[Batch, Prediction, Tensor]]:
    """What ``predict`` says of the calibration images at a point, and each image's MACs, batch by batch.

    Raises: ``InputError`` for logits or MACs that are not finite.
    """
    model.eval()
    who = "the model, while it is set to a budget,"
    with torch.inference_mode():
        for batch in calibration:
            prediction = model.predict(batch.images, point)
            check_prediction(prediction, len(batch.images), who)
            check_logits(prediction.logits, who, point)
            macs = cost.macs(prediction.usage).double()
            check_macs(macs, who, point)
            yield batch, prediction, macs


def mean_macs(model: DynamicModel, point: OperatingPoint, calibration: Sequence[Batch]) -> float:
    """What ``predict`` costs at a point, over the calibration images. Units: MACs per image.

    Raises: ``InputError`` for logits or MACs that are not finite.
    """
    return float(torch.cat([macs for _, _, macs in answers(model, point, calibration)]).mean())


def _grid(distribution: FloatDistribution | IntDistribution) -> list[KnobValue]:
    if isinstance(distribution, IntDistribution):
        return list(range(distribution.low, distribution.high + 1, distribution.step or 1))
    low, high = distribution.low, distribution.high
    steps = STEPS if distribution.step is None else round((high - low) / distribution.step)
    values = np.geomspace(low, high, steps + 1) if distribution.log else np.linspace(low, high, steps + 1)
    coarse = not distribution.log and (high - low) / max(steps, 1) >= 10**-DECIMALS
    short = [round(v, DECIMALS) if coarse else float(f"{v:.{DIGITS}g}") for v in values.tolist()]
    return [min(max(value, low), high) for value in short]  # rounded up, the last would be out of range


def _most(distribution: BaseDistribution) -> KnobValue:
    """A knob that is not swept stays at the last of its values, by convention the one that drops nothing."""
    if isinstance(distribution, FloatDistribution | IntDistribution):
        return distribution.high
    choices = getattr(distribution, "choices", ())
    if not choices:
        raise InputError(f"a knob is a {type(distribution).__name__}: use optuna's Float, Int or Categorical")
    return choices[-1]
