"""What is checked of the models of a bench before any of them is trained or measured."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

from dynvit.backbones.build import image_size
from dynvit.benchmark.one_front import check_one_front
from dynvit.budgets import KnobSolver, check_feasible, noise_batch
from dynvit.contract import check_model
from dynvit.errors import InputError
from dynvit.interface import DynamicModel
from dynvit.knobs import knobs_of
from dynvit.session import Wanted
from dynvit.settings import changed_flags
from dynvit.training.further import point_at, trains_at_a_point
from dynvit.training.request import TrainingOptions
from dynvit.units import GIGA

if TYPE_CHECKING:
    from dynvit.benchmark.prepare import Planned, Preparation

_OF_TRAININGS = ("train", "targets", "seeds", "train_batch_size", *TrainingOptions.model_fields)


def check_planned(preparation: Preparation) -> None:
    """Check every model as far as it can be without running anything, and that one front may hold them all.

    Raises: ``InputError`` for the first that is wrong.
    """
    _check_asked(preparation)
    for one in preparation.planned:
        _check_one(preparation, one)
    untrained = [(one.label, one.wanted.checkpoint) for one in preparation.planned if not one.trained]
    check_one_front(untrained, trains=preparation.config.division is not None)


def _check_asked(preparation: Preparation) -> None:
    """What is asked of trainings must reach one: a line where nothing is trained at all, else a refusal."""
    config, planned = preparation.config, preparation.planned
    trained = [one for one in planned if one.trained]
    labels = ", ".join(one.label for one in planned)
    if not trained and not preparation.trains_backbone:
        asked = changed_flags(config, [name for name in _OF_TRAININGS if getattr(config, name) is not False])
        if asked:
            warnings.warn(
                f"{', '.join(asked)}: nothing is trained, for {labels} {'is' if len(planned) == 1 else 'are'} measured "
                f"with the weights that are given, which fit {preparation.session.dataset.name}; dynvit train trains "
                "them on",
                stacklevel=3,
            )
        return
    if config.targets and not any(one.target is not None for one in trained):
        raise InputError(f"--targets: of {labels} nothing is trained for a target here: leave out --targets")
    if len(config.seeds) > 1 and not trained:
        raise InputError(
            f"--seeds: of {labels} nothing is trained once for each seed, for the backbone is trained once: leave out "
            "--seeds, or give --division fine-tuned, which trains every model"
        )


def _check_one(preparation: Preparation, planned: Planned) -> None:
    wanted, config = planned.wanted, preparation.config
    if wanted.checkpoint is not None:
        preparation.session.check(wanted)
        return
    attached = wanted.method.attach(preparation.session.untrained(), wanted.options)
    check_model(attached, wanted.name)
    _check_budgets(config.budgets, wanted, attached)
    for measurement in preparation.measurements:
        knobs = knobs_of(wanted.method, wanted.options, lambda: attached.backbone)
        measurement.measurer.check_model(wanted.label, attached, knobs)
    if planned.trained:
        _check_training(preparation, planned, attached)


def _check_training(preparation: Preparation, planned: Planned, attached: DynamicModel) -> None:
    """What a training refuses is said before any other begins; ``attached`` is the model without its target."""
    wanted, target = planned.wanted, planned.target
    if preparation.config.division is not None and trains_at_a_point(wanted.method):
        point_at(target, wanted.name, attached, wanted.options)
        return
    chosen = preparation.trainings.recipe(wanted.name)
    if target is not None:
        bare = preparation.session.untrained()
        attached = wanted.method.attach(bare, wanted.method.options_for(target, bare, wanted.options))
    wanted.method.stages(attached, chosen.recipe)


def _check_budgets(budgets: Sequence[float], wanted: Wanted, model: DynamicModel) -> None:
    """Budgets out of range are found before a training where weights do not decide what is in range."""
    method = wanted.method
    if budgets and method.budget_knob is not None and not method.adaptive_cost:
        noise = noise_batch(image_size(model.backbone))
        knobs = knobs_of(method, wanted.options, lambda: model.backbone)
        solver = KnobSolver(model, method.budget_knob, knobs, [noise])
        for budget in budgets:
            check_feasible(budget * GIGA, solver.range(), wanted.label)
