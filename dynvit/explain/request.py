"""What ``dynvit explain`` is asked, and the operating point that it means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dynvit.budgets import CostRange
from dynvit.errors import InputError
from dynvit.explain.trained import Trained, parse_point, solve
from dynvit.interface import OperatingPoint
from dynvit.units import GIGA


@dataclass(frozen=True)
class ExplainRequest:
    """What is asked. Units: ``budget`` GMACs an image as a mean over the calibration split."""

    method: str
    checkpoint: Path
    images: Sequence[Path] = ()
    dataset: str | None = None
    data_dir: str | None = None
    split: str = "validation"
    limit: int | None = None
    knobs: Sequence[str] = ()
    budget: float | None = None
    calibration: int | None = None
    points: int = 25
    per_class: int = 6
    output: Path | None = None
    device: str = "auto"

    def check(self) -> None:
        """Raises: ``InputError`` for what contradicts itself or cannot be written."""
        if bool(self.images) == bool(self.dataset):
            raise InputError("give images to explain, or --dataset for a whole split: one of the two")
        if self.knobs and self.budget is not None:
            raise InputError("--knob and --budget both name the operating point: give one of the two")
        if self.points < 2 or self.per_class < 1:
            raise InputError("--points takes 2 or more, --per-class 1 or more")
        if self.dataset and self.output is None:
            raise InputError("--dataset is explained in pictures: give --output DIR for them")
        if self.output is not None:
            above = next(path for path in (self.output.absolute(), *self.output.absolute().parents) if path.exists())
            if not above.is_dir():
                raise InputError(f"--output {str(self.output)!r}: {str(above)!r} is a file; give another folder")

    def point(self, trained: Trained) -> OperatingPoint:
        """What was asked for; else what the model was trained for, else the middle of what it can be set to."""
        if self.knobs:
            return parse_point(trained.knobs, self.knobs)
        if self.budget is None and trained.model.trained_point is not None:
            return trained.model.trained_point
        if not trained.knobs and self.budget is None:
            return trained.model.neutral or OperatingPoint()
        ladder = trained.ladder(self.data_dir, self.calibration)
        return solve(ladder, [self.chosen_budget(ladder.range())])[0]

    def chosen_budget(self, reach: CostRange) -> float:
        """The budget that was given, or the middle. Units: GMACs an image."""
        return (reach.low + reach.high) / 2 / GIGA if self.budget is None else self.budget


def said(point: OperatingPoint) -> str:
    """The point in words."""
    knobs = (f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}" for name, value in point.items())
    return f"at {', '.join(knobs)}"
