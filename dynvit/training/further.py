"""Training that a method itself has none of: its backbone learns at the point that a target asks for."""

from __future__ import annotations

from typing import Any

from dynvit.backbones.build import image_size
from dynvit.backbones.dense import dense_macs
from dynvit.budgets import KnobSolver, check_feasible, noise_batch
from dynvit.errors import InputError
from dynvit.interface import DynamicModel, Method, OperatingPoint, Recipe, Stage, methods
from dynvit.knobs import knobs_of
from dynvit.recipes import cross_entropy_at, decayed_groups


def trains_at_a_point(method: Method[Any]) -> bool:
    """Whether a method has no training of its own: it learns where a target takes it, or at its only point."""
    return not method.recipes


def takes_target(method: Method[Any]) -> bool:
    """Whether a fraction of dense MACs makes a difference to a method's training in the division."""
    if trains_at_a_point(method):
        return method.budget_knob is not None
    return type(method).options_for is not Method.options_for


def point_at(target: float | None, name: str, model: DynamicModel, options: Any) -> OperatingPoint:
    """The most expensive point within a target, at which the method ``name`` learns; without a knob, its only point.

    Costs are those of an image of noise; where images differ in cost they differ little from it before training.
    Units: ``target`` as a fraction of the backbone's MACs.

    Raises: ``InputError`` for no target, and for one that it cannot be set to.
    """
    method = methods.get(name)()
    knob = method.budget_knob
    if knob is None:
        if model.neutral is not None:
            return model.neutral
        raise InputError(
            f"method {name} has neither a training nor a budget knob, so that nothing says at which point it learns"
        )
    if target is None:
        raise InputError(
            f"method {name} has no training of its own, and learns at a target in the fine-tuned division: give "
            "--target (--targets in a bench), a fraction of dense MACs"
        )
    knobs = knobs_of(method, options, lambda: model.backbone)
    solver = KnobSolver(model, knob, knobs, [noise_batch(image_size(model.backbone))])
    budget, feasible = target * dense_macs(model.backbone), solver.range()
    try:
        check_feasible(budget, feasible)
    except InputError:
        low, high = (each / dense_macs(model.backbone) for each in (feasible.low, feasible.high))
        raise InputError(
            f"a target must be {low:.3f} to {high:.3f} of dense for method {name} on this backbone, got {target:g}: "
            "give another, or leave the method out"
        ) from None
    return solver.solve([budget])[0]


def at_point(recipe: Recipe, point: OperatingPoint) -> Stage:
    """One stage: all parameters, by cross-entropy with what the point drops or merges left out."""

    return Stage(
        name="finetune",
        epochs=recipe.epochs,
        groups=lambda model: decayed_groups(model.named_parameters(), recipe),
        loss=cross_entropy_at(lambda: point),
    )
