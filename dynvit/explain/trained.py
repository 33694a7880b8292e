"""The trained model that is asked, and the operating point that it is asked at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

from dynvit.budgets import KnobSolver, ModelSolver, solver_for
from dynvit.calibration import calibration_batches
from dynvit.checkpoint import CheckpointConfig, load, read_config
from dynvit.data import ImageSource, open_split
from dynvit.data.pixels import PixelBatches
from dynvit.errors import InputError, unknown
from dynvit.interface import DynamicModel, KnobValue, Method, OperatingPoint, methods
from dynvit.options import options_from_json
from dynvit.units import GIGA


@dataclass(frozen=True)
class Trained:
    """A checkpoint's model with its method, on the device that it runs on."""

    method: Method[Any]
    model: DynamicModel
    config: CheckpointConfig
    device: torch.device

    @classmethod
    def read(cls, name: str, folder: Path, device: torch.device) -> Trained:
        """Load a checkpoint of the method ``name``.

        Raises: ``InputError`` for a method that cannot explain itself, naming those that can, and for a folder that
        holds no checkpoint of it.
        """
        kind = methods.get(name)
        if not kind.explains:
            can = [other for other, kind in methods.load_all().items() if kind.explains]
            raise InputError(f"method {name!r} does not explain itself: those that do are {', '.join(can) or 'none'}")
        made_by = read_config(folder).method.name
        if made_by != name:
            raise InputError(
                f"checkpoint {folder} was made by method {made_by!r}, not {name!r}: give --method {made_by}"
            )
        model, config = load(folder)
        return cls(kind(), model.to(device), config, device)

    @property
    def knobs(self) -> Mapping[str, BaseDistribution]:
        """What a point sets."""
        return self.method.knobs(options_from_json(self.method.Options, self.config.method.options))

    def class_name(self, label: int) -> str:
        """The class as people say it; its number where nobody named it."""
        names = self.config.class_names
        return names[label] if label < len(names) else f"class {label}"

    def pixels(self, source: ImageSource) -> PixelBatches:
        """The images of a split as this model takes them."""
        return PixelBatches(source, self.config.preprocessing)

    def ladder(self, data_dir: str | None = None, calibration: int | None = None) -> KnobSolver | ModelSolver:
        """How budgets become points: solved on the split that was held out of this model's training.

        Raises: ``InputError`` for a method that has no budget to be set to, and where the data is missing.
        """
        source = open_split(
            self.config.dataset,
            "calibration",
            data_dir=data_dir,
            seed=self.config.training.seed,
            calibration=calibration,
        )
        classes = self.config.backbone_info.num_classes
        batches = calibration_batches(self.model, source, self.config.preprocessing, classes, self.device)
        with torch.inference_mode():
            found = solver_for(self.model, self.method.budget_knob, self.knobs, batches)
        if found is None:
            raise InputError(f"method {self.config.method.name!r} has no budget to be set to: give every --knob")
        return found


def solve(ladder: KnobSolver | ModelSolver, budgets: Sequence[float]) -> list[OperatingPoint]:
    """The ladder's points. Units: budgets in GMACs an image."""
    with torch.inference_mode():
        return ladder.solve([budget * GIGA for budget in budgets])


def parse_point(knobs: Mapping[str, BaseDistribution], given: Iterable[str]) -> OperatingPoint:
    """A point from ``name=value`` for every knob.

    >>> parse_point({"keep_ratio": FloatDistribution(0.1, 1.0)}, ["keep_ratio=0.7"])
    OperatingPoint(keep_ratio=0.7)

    Raises: ``InputError`` for a knob that is unknown or missing, and a value out of its range.
    """
    values: dict[str, KnobValue] = {}
    for item in given:
        name, sign, text = item.partition("=")
        if not sign:
            raise InputError(f"--knob {item!r} is not NAME=VALUE: names are {', '.join(knobs) or 'none'}")
        if name not in knobs:
            raise unknown("knob", name, knobs)
        values[name] = _value(name, text, knobs[name])
    missing = [name for name in knobs if name not in values]
    if missing:
        raise InputError(f"--knob lacks {', '.join(missing)}: an operating point sets every knob; or give --budget")
    return OperatingPoint(**values)


def _value(name: str, text: str, distribution: BaseDistribution) -> KnobValue:
    if isinstance(distribution, FloatDistribution | IntDistribution):
        try:
            value = int(text) if isinstance(distribution, IntDistribution) else float(text)
        except ValueError:
            raise InputError(f"--knob {name}={text}: a number is wanted") from None
        if not distribution.low <= value <= distribution.high:
            raise InputError(f"--knob {name}={text}: it lies in [{distribution.low}, {distribution.high}]")
        return value
    choices = getattr(distribution, "choices", ())
    for choice in choices:
        if str(choice) == text:
            return choice
    raise InputError(f"--knob {name}={text}: one of {', '.join(map(str, choices))} is allowed")
