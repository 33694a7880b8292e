"""A law tried on a subject: left out where the method declares that the law says nothing of it, and nowhere else."""

from __future__ import annotations

import dataclasses
from contextlib import nullcontext
from functools import cache
from typing import Any

import pytest
import timm
import torch
from torch import nn

from dynvit.errors import InputError
from dynvit.interface import DynamicModel, methods
from dynvit.options import parse_options
from dynvit.testing import CAPABILITY_LAWS, Law, NotApplicable, Subject


def not_applicable(subject: Subject) -> set[str]:
    """The laws that say nothing of this method, by what it declares."""
    model, method = subject.model(), subject.method
    declared = set(model.supports) | ({"explanations"} if method.explains else set())
    nothing = {
        "sweeping_equals_predicting": type(model).sweep is DynamicModel.sweep,
        "neutral_point_equals_backbone": model.neutral is None,
        "macs_fall_with_the_budget": method.budget_knob is None or "budgets" in declared,
        "gradients_reach_every_trained_part": not _trains(subject, model),
        **{law.__name__: capability not in declared for capability, law in CAPABILITY_LAWS.items()},
    }
    return {law for law, says_nothing in nothing.items() if says_nothing}


def _trains(subject: Subject, model: DynamicModel) -> bool:
    """Whether there is a training, under these options."""
    try:
        return any(len(subject.method.stages(model, recipe)) > 0 for recipe in subject.method.recipes.values())
    except InputError:
        return False


def subject(name: str, options: str = "", **backbone: Any) -> Subject:
    """A method with options written as on the command line, on vit_digits with other arguments of timm's."""
    made = Subject.of(name, options=parse_options(methods.get(name).Options, options.split()))
    if not backbone:
        return made

    def make() -> nn.Module:
        torch.manual_seed(0)
        drawn = timm.create_model("vit_digits", **backbone)
        for parameter in drawn.parameters():
            if parameter.ndim > 1:
                parameter.data.normal_(std=1.5 * parameter[0].numel() ** -0.5)
        return drawn

    return dataclasses.replace(made, make_backbone=make)


@cache
def backbone_of(name: str, **given: Any) -> nn.Module:
    """One that no test changes."""
    return timm.create_model(name, **given)


def check_law(law: Law, subject: Subject) -> None:
    """The law holds, or says nothing of the method and says so."""
    left_out = law.__name__ in not_applicable(subject)
    with pytest.raises(NotApplicable) if left_out else nullcontext():
        law(subject)
