"""What ``dynvit explain`` is asked, and the operating point that it means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dynvit.budgets import CostRange
from dynvit.errors import InputError
from dynvit.explain.settings import ExplainSettings
from dynvit.explain.trained import Trained, solve
from dynvit.interface import OperatingPoint
from dynvit.knobs import parse_point
from dynvit.request import SessionRequest
from dynvit.settings import changed_flags
from dynvit.units import GIGA

_OF_SPLITS = ("points", "per_class")


@dataclass(frozen=True)
class ExplainRequest:
    """What is asked. ``session`` names the data set, where a whole split is explained."""

    checkpoint: Path
    session: SessionRequest
    method: str | None = None
    images: Sequence[Path] = ()
    knobs: Sequence[str] = ()
    settings: ExplainSettings = field(default_factory=ExplainSettings)
    output: Path | None = None

    def check(self) -> None:
        """Raises: ``InputError`` for what contradicts itself or cannot be written."""
        if bool(self.images) == (self.session.dataset is not None):
            raise InputError("give images to explain, or --dataset for a whole split: one of the two")
        of_splits = [*changed_flags(self.session, ("split", "limit")), *changed_flags(self.settings, _OF_SPLITS)]
        if self.images and of_splits:
            raise InputError(f"{of_splits[0]} is for a whole split: leave it out, or give --dataset in place of images")
        if self.knobs and self.settings.budget is not None:
            raise InputError("--knob and --budget both name the operating point: give one of the two")
        if self.session.dataset and self.output is None:
            raise InputError("--dataset is explained in pictures: give --output DIR for them")
        if self.output is not None:
            above = next(path for path in (self.output.absolute(), *self.output.absolute().parents) if path.exists())
            if not above.is_dir():
                raise InputError(f"--output {str(self.output)!r}: {str(above)!r} is a file; give another folder")

    def point(self, trained: Trained) -> OperatingPoint:
        """What was asked for; else what the model was trained for, else the middle of what it can be set to."""
        if self.knobs:
            return parse_point(trained.opened.knobs, self.knobs)
        if self.settings.budget is None and trained.opened.trained_point is not None:
            return trained.opened.trained_point
        if not trained.opened.knobs and self.settings.budget is None:
            return trained.opened.model.neutral or OperatingPoint()
        solver = trained.solver()
        return solve(solver, [self.chosen_budget(solver.range())])[0]

    def chosen_budget(self, feasible: CostRange) -> float:
        """The budget that was given, or the middle. Units: GMACs an image."""
        return (feasible.low + feasible.high) / 2 / GIGA if self.settings.budget is None else self.settings.budget
