"""The trained model that is asked, and the operating points that it is asked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from dynvit.calibration import calibration_batches
from dynvit.data import ImageSource
from dynvit.data.pixels import PixelBatches
from dynvit.errors import InputError
from dynvit.interface import OperatingPoint, methods
from dynvit.request import SessionRequest
from dynvit.session import OpenModel, Session, Wanted, checkpoint_facts, open_models
from dynvit.solving import Solver, solver_for
from dynvit.units import GIGA


@dataclass(frozen=True)
class Trained:
    """A checkpoint's model, open in a session, on the device that it runs on."""

    session: Session
    opened: OpenModel
    device: torch.device

    @classmethod
    def read(cls, name: str | None, folder: Path, request: SessionRequest) -> Trained:
        """Load a checkpoint of the method ``name``, where that is given.

        Raises: ``InputError`` for a method that cannot explain itself, naming those that can, and for a folder that
        holds no checkpoint of it.
        """
        if name is None:
            name = checkpoint_facts(folder).method.name
        if not methods.get(name).explains:
            can = [other for other, kind in methods.load_all().items() if kind.explains]
            raise InputError(f"method {name!r} does not explain itself: those that do are {', '.join(can) or 'none'}")
        if not folder.is_dir():
            raise InputError(f"no checkpoint in {folder}: a folder of dynvit train is wanted")
        session = open_models(request.completed(method_checkpoint={name: (str(folder),)}))
        wanted = Wanted.of(name, checkpoint=str(folder))
        session.check(wanted)
        opened, device = session.open(wanted), session.device
        opened.model.to(device)
        return cls(session, opened, device)

    def pixels(self, source: ImageSource) -> PixelBatches:
        """The images of a split as this model takes them."""
        return PixelBatches(source, self.opened.preprocessing)

    def solver(self) -> Solver:
        """How budgets become points: solved on the split that was held out of this model's training.

        Raises: ``InputError`` for a method that has no budget to be set to, and where the data is missing.
        """
        opened, source = self.opened, self.session.split("calibration")
        classes, seed = opened.backbone.num_classes, self.session.data_seed
        batches = calibration_batches(source, opened.preprocessing, classes, self.device, seed=seed)
        with torch.inference_mode():
            found = solver_for(opened.model, opened.method.budget_knob, opened.knobs, batches)
        if found is None:
            raise InputError(f"method {opened.name!r} has no budget to be set to: give every --knob")
        return found


def solve(solver: Solver, budgets: Sequence[float]) -> list[OperatingPoint]:
    """The solver's points. Units: budgets in GMACs an image."""
    with torch.inference_mode():
        return solver.solve([budget * GIGA for budget in budgets])
