"""What attacks would do, and whether they can: said and checked before anything is attacked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from dynvit.measurements.robustness.gradient import check_some_point
from dynvit.measurements.robustness.settings import RobustnessSettings
from dynvit.measurements.robustness.table import radius
from dynvit.measurements.robustness.tasks import attempts_by, attempts_said, check_radii, passes

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

    from dynvit.data.source import ImageSource
    from dynvit.interface import DynamicModel
    from dynvit.session import Session


def check_model(
    settings: RobustnessSettings, label: str, model: DynamicModel, knobs: Mapping[str, BaseDistribution]
) -> None:
    """Check that a model can be attacked as asked.

    Args:
        settings: what is asked.
        label: names the model in errors.
        model: on its backbone.
        knobs: of the method on that backbone.

    Raises: ``InputError`` for a radius that no two of its images are apart, and for a model that gives gradient
        attacks no gradient, naming where it is cut.
    """
    check_radii(settings, model)
    if settings.need_gradients:
        check_some_point(label, model, knobs)


def planned(settings: RobustnessSettings, session: Session, source: ImageSource) -> Iterator[str]:
    """Which attacks, on how much, for people."""
    specs = settings.specs(session.dataset)
    said = ", ".join(f"{spec.name} {radius(spec.threat.norm, spec.threat.eps)}" for spec in specs)
    each = f"{settings.points} point{'' if settings.points == 1 else 's'} of each model"
    checks = ", with checks for masked gradients" if settings.masking_checks else ""
    yield f"robustness: {said}"
    yield f"  on {min(settings.limit, len(source)):,} images at {each}, {attempts_said(specs)}{checks}"


def images_through(settings: RobustnessSettings, session: Session, source: ImageSource, points: int) -> float:
    """Images that go through a model of so many points at most, a gradient counting as two; checks are left out."""
    attacked = points if settings.points == "all" else min(points, settings.points)
    each = sum(
        passes(spec) * attempts_by(spec) * (1 if spec.attack.black_box else 3)
        for spec in settings.specs(session.dataset)
    )
    return attacked * min(settings.limit, len(source)) * each
