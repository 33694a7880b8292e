"""What ``dynvit explain`` is asked, and the operating point that it means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dynvit.budgets import CostRange
from dynvit.errors import InputError
from dynvit.explain.trained import Trained, solve
from dynvit.interface import OperatingPoint
from dynvit.knobs import parse_point
from dynvit.request import SessionRequest
from dynvit.settings import flags_of, validated
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

    def session(self) -> SessionRequest:
        """What is opened. Raises: ``InputError`` for a value out of range."""
        asked = {
            "dataset": self.dataset,
            "data_dir": self.data_dir,
            "split": self.split,
            "limit": self.limit,
            "calibration": self.calibration,
            "device": self.device,
        }
        return validated(
            SessionRequest, {name: v for name, v in asked.items() if v is not None}, flags_of(SessionRequest)
        )

    def point(self, trained: Trained) -> OperatingPoint:
        """What was asked for; else what the model was trained for, else the middle of what it can be set to."""
        if self.knobs:
            return parse_point(trained.opened.knobs, self.knobs)
        if self.budget is None and trained.opened.model.trained_point is not None:
            return trained.opened.model.trained_point
        if not trained.opened.knobs and self.budget is None:
            return trained.opened.model.neutral or OperatingPoint()
        solver = trained.solver()
        return solve(solver, [self.chosen_budget(solver.range())])[0]

    def chosen_budget(self, feasible: CostRange) -> float:
        """The budget that was given, or the middle. Units: GMACs an image."""
        return (feasible.low + feasible.high) / 2 / GIGA if self.budget is None else self.budget
