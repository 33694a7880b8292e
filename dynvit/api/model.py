"""A dynamic model in Python: set it to an operating point, ask it, keep it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, overload

import torch
from optuna.distributions import FloatDistribution, IntDistribution
from PIL import Image

from dynvit.api.answer import Answer, answers
from dynvit.api.images import is_one, read_pixels, stacked
from dynvit.errors import InputError, unknown
from dynvit.finite import check_logits
from dynvit.interface import KnobValue, OperatingPoint
from dynvit.knobs import point_of, point_said
from dynvit.plugin_faults import plugin_faults
from dynvit.reading import path_given
from dynvit.session import OpenModel, Session
from dynvit.units import GIGA, Solve


@dataclass(frozen=True)
class Model:
    """A dynamic model at an operating point. ``dynvit.load`` opens one; ``at`` gives the same at another point.

    ``opened`` is what measurements take; ``session`` what it was opened in; ``path`` where it was loaded from, None for
    a method on a backbone's weights; ``set_to`` the point that ``at`` chose. Models at different points share weights.

    Units: ``budget_gmacs`` GMACs an image that the point was solved for, None where knobs were given.
    """

    opened: OpenModel = field(repr=False)
    session: Session = field(repr=False)
    path: str | None = None
    set_to: OperatingPoint | None = None
    budget_gmacs: float | None = None
    solved_by: Solve | None = None

    @property
    def method(self) -> str:
        """The method's name."""
        return self.opened.name

    @property
    def options(self) -> Any:
        """The method's options: what training fixed."""
        return self.opened.options

    @property
    def backbone(self) -> str:
        """timm's name of the backbone."""
        return self.opened.backbone.name

    @property
    def image_size(self) -> int:
        """The edge of the input. Units: pixels."""
        return self.opened.preprocessing.image_size

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return self.opened.backbone.num_classes

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes as people say them; empty where nobody named them."""
        from dynvit.session import class_names_by_count

        names = self.opened.class_names
        return names or (class_names_by_count(self.classes) if self.session.dataset.name == "imagenet" else ())

    @property
    def knobs(self) -> dict[str, tuple[Any, ...]]:
        """What ``at`` sets, by name: (lowest, highest) of a number, else the choices."""
        return {name: _range(distribution) for name, distribution in self.opened.knobs.items()}

    @property
    def point(self) -> OperatingPoint | None:
        """The operating point: what ``at`` chose, else what the model was kept, published or trained for, else neutral.

        None where there is no such point.
        """
        model = self.opened.model
        points = (self.set_to, self.opened.kept_point, self.opened.trained_point, model.neutral)
        return next((point for point in points if point is not None), None)

    @property
    def dense_gmacs(self) -> float:
        """What the static backbone takes. Units: GMACs an image."""
        return self.session.dense_gmacs

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return next(self.opened.model.parameters()).device

    def at(
        self,
        point: Mapping[str, KnobValue] | None = None,
        /,
        *,
        gmacs: float | None = None,
        saving: float | None = None,
        calibration: Any = None,
        solve: Solve = "cost",
        **knobs: KnobValue,
    ) -> Model:
        """The same model at another operating point; this one stays as it is.

        Args:
            point: a whole point; or give knobs by name, and those that are not given stay as they are.
            gmacs: a budget, mean GMACs an image.
            saving: the same as a saving against the dense backbone, in [0, 1).
            calibration: images on which the budget is solved: a folder, a data set's name, a list, or a DataLoader.
                None: the calibration split of the model's own data set.
            solve: by "cost" alone, or by "accuracy" on labelled images where several knobs leave a choice.
            knobs: of the method (``model.knobs``).

        Raises: ``InputError`` for a knob that there is not, a value or a budget out of range.
        """
        given = [point is not None, gmacs is not None, saving is not None, bool(knobs)]
        if sum(given) != 1:
            what = "none of them" if not any(given) else "more than one"
            raise InputError(f"name the point by a budget (gmacs or saving), by knobs or as a whole; {what} is given")
        if gmacs is None and saving is None:
            if calibration is not None:
                raise InputError("calibration is for a budget: give gmacs or saving with it")
            chosen = self._with(knobs if point is None else point)
            return replace(self, set_to=chosen, budget_gmacs=None, solved_by=None)
        from dynvit.api.solving import budget_macs, solved

        macs = budget_macs(self, gmacs, saving)
        found, by = solved(self, macs, calibration, solve)
        return replace(self, set_to=found, budget_gmacs=macs / GIGA, solved_by=by)

    @overload
    def __call__(self, images: str | os.PathLike[str] | Image.Image) -> Answer: ...

    @overload
    def __call__(self, images: list[Any]) -> list[Answer]: ...

    @overload
    def __call__(self, images: Any) -> Any: ...

    def __call__(self, images: Any) -> Any:
        """The answer for one image, a list of answers for several.

        ``images``: a path, a PIL image, an array (H, W, 3) of uint8, or a tensor (3, H, W) for one; a list of these, a
        tensor (B, 3, H, W), or a DataLoader for several. All but tensors are cut and scaled as the model was trained;
        tensors are of its size, with pixels in [0, 1].

        Raises: ``InputError`` for what is no image, and where the model has no operating point yet.
        """
        found = self._answers(images)
        return found[0] if is_one(images) else found

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Keep the model with its operating point and preprocessing in a folder, which ``dynvit.load`` opens.

        Returns the folder. Raises: ``InputError`` for a folder that holds something else, be it a model of another
        method or backbone.
        """
        from dynvit.api.saving import save

        return save(self, Path(path_given(folder, "folder")))

    def needs_point(self) -> OperatingPoint:
        """The point. Raises: ``InputError`` where there is none, naming the knobs."""
        if self.point is not None:
            return self.point
        knobs = ", ".join(f"{name} {_said(values)}" for name, values in self.knobs.items())
        raise InputError(
            f"method {self.method!r} has no operating point of its own: call at() with a budget, or {knobs}"
        )

    @plugin_faults()
    def _answers(self, images: Any) -> list[Answer]:
        point, model, names = self.needs_point(), self.opened.model.eval(), self.class_names
        found: list[Answer] = []
        with torch.inference_mode():
            for batch in stacked(read_pixels(images, self.opened.preprocessing), self.device, self.classes):
                prediction = model.predict(batch.images, point)
                check_logits(prediction.logits, f"model {self.opened.label!r}", point)
                found += answers(prediction, names, self.session.request.rule)
        return found

    def _with(self, knobs: Mapping[str, KnobValue]) -> OperatingPoint:
        for name in knobs:
            if name not in self.opened.knobs:
                raise unknown(f"knob of {self.method}", name, [*self.opened.knobs, "gmacs", "saving"])
        for name, value in knobs.items():
            if not isinstance(value, int | float | str):
                raise InputError(f"knob {name} must be a number or a choice, got {value!r}")
        values = {**(self.point or {}), **knobs}
        missing = [name for name in self.opened.knobs if name not in values]
        if missing:
            raise InputError(f"an operating point sets every knob: {', '.join(missing)} must be given too, or a budget")
        return point_of(self.opened.knobs, values)

    def __repr__(self) -> str:
        point = "" if self.point is None else point_said(self.point)
        at = f" at {point}" if point else ", no operating point yet" if self.point is None else ""
        return f"Model({self.method} on {self.backbone}, {self.image_size} pixels{at})"


def _range(distribution: Any) -> tuple[Any, ...]:
    if isinstance(distribution, FloatDistribution | IntDistribution):
        return distribution.low, distribution.high
    return tuple(getattr(distribution, "choices", ()))


def _said(values: tuple[Any, ...]) -> str:
    numbers = len(values) == 2 and not any(isinstance(value, str) for value in values)
    return f"in [{values[0]:g}, {values[1]:g}]" if numbers else f"one of {', '.join(map(str, values))}"
