"""Every law on every method of ours; and each violation fails the law that it violates, and no other."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

from conformance_helpers import check_law, not_applicable
from dynvit.interface import (
    DynamicModel,
    OperatingPoint,
    methods,
)
from dynvit.testing import LAWS, Law, Subject, check
from violating_methods import Around, ExplainsNothing, ExplainsOtherMacs, ExplainsUndeclared
from violations import (
    VIOLATIONS,
    AnswersFromACache,
    BatchDependentWhereMany,
    BehindAScaleOfZero,
    Conforming,
    ConstantUsage,
    DeclaresAndOverridesNothing,
    Nothing,
    OverridesUndeclared,
    RemembersTheLast,
    SolvesBudgets,
    SolvesForAccuracy,
)


def _slow_unless_default(name: str) -> Any:
    """All methods are tried; those that a bench runs by default, and ToMe for those that merge, in the fast tests."""
    return pytest.param(name, marks=() if methods.get(name).by_default or name == "tome" else pytest.mark.slow)


OURS = [name for name in methods.names() if [o.distribution for o in methods.origins(name)] == ["dynvit"]]


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("name", [_slow_unless_default(name) for name in OURS])
def test_the_law_holds(name: str, law: Law) -> None:
    check_law(law, Subject.of(name))


def broken(model: type[Conforming], method: type[Around] = Around) -> dict[str, str]:
    """The laws that the model breaks, each with what the kit says of it."""

    def small() -> nn.Module:
        torch.manual_seed(0)
        return timm.create_model("vit_digits", depth=2, embed_dim=12)

    dense = Subject.of("dense", batch=3)
    subject = dataclasses.replace(dense, method=method(model), options=Nothing(), make_backbone=small)
    verdicts = list(check(subject))
    assert len(verdicts) == len(LAWS)
    left_out = {verdict.law for verdict in verdicts if verdict.holds is None}
    assert left_out == {law.replace("_", " ") for law in not_applicable(subject)}
    return {verdict.law: verdict.reason for verdict in verdicts if verdict.holds is False}


def test_a_model_that_is_wrong_in_several_ways_fails_where_it_is() -> None:
    assert "claimed macs are executed" in broken(ConstantUsage)
    assert {"results do not depend on the batch", "claimed macs are executed"} <= broken(AnswersFromACache).keys()
    for model in (BatchDependentWhereMany, RemembersTheLast):
        assert "results do not depend on the batch" in broken(model)


@pytest.mark.parametrize("model", [Conforming, SolvesBudgets, SolvesForAccuracy, BehindAScaleOfZero])
def test_a_conforming_model_breaks_no_law(model: type[Conforming]) -> None:
    assert broken(model) == {}


@pytest.mark.parametrize("violation", VIOLATIONS, ids=lambda violation: violation.__name__)
def test_a_violation_fails_its_law_and_no_other(violation: type[Conforming]) -> None:
    found = broken(violation)
    assert list(found) == [VIOLATIONS[violation]]
    # A law that raised an error of its own says nothing to the author of a method.
    assert not any("Error:" in reason for reason in found.values())


def test_each_law_has_a_violation() -> None:
    assert {*VIOLATIONS.values(), "explanations agree with predict"} == {law.__name__.replace("_", " ") for law in LAWS}


@pytest.mark.parametrize(
    ("method", "law", "reason"),
    [
        (ExplainsOtherMacs, "explanations agree with predict", "predict has"),
        (
            ExplainsUndeclared,
            "overridden capabilities are declared",
            "ExplainsUndeclared overrides explain and does not declare it: set explains = True",
        ),
    ],
)
def test_a_method_that_explains_declares_it_and_agrees_with_predict(
    method: type[Around], law: str, reason: str
) -> None:
    [(name, said)] = broken(Conforming, method).items()
    assert name == law
    assert reason in said


def test_a_method_that_declares_explanations_has_them() -> None:
    found = broken(Conforming, ExplainsNothing)
    assert found["declared capabilities are overridden"].endswith(
        'declares "explanations" and does not override explain'
    )


def test_a_declared_capability_has_to_be_overridden() -> None:
    found = broken(DeclaresAndOverridesNothing)
    says = 'DeclaresAndOverridesNothing declares "frozen gates" and does not override forward_frozen'
    assert found["declared capabilities are overridden"] == says


def test_an_overridden_capability_has_to_be_declared() -> None:
    [reason] = broken(OverridesUndeclared).values()
    assert reason == 'OverridesUndeclared overrides solve and does not declare it: add "budgets" to supports'


@pytest.mark.parametrize(
    ("call", "capability"),
    [
        (lambda model, images: model.feasible_range([]), "budgets"),
        (lambda model, images: model.solve([1.0], []), "budgets"),
        (lambda model, images: model.solve_for_accuracy([1.0], []), "accurate budgets"),
        (lambda model, images: model.forward_frozen(images, model.neutral, None), "frozen gates"),
        (lambda model, images: model.surrogate_logits(images, model.neutral, None), "surrogate logits"),
        (lambda model, images: model.compute_proxy(images, model.neutral, None), "compute proxy"),
    ],
)
def test_what_is_not_supported_names_the_model_and_the_capability(
    call: Callable[[DynamicModel, Tensor], object], capability: str
) -> None:
    subject = Subject.of("dense")
    with pytest.raises(TypeError, match=f"DenseModel does not support {capability}: .*override"):
        call(subject.model(), subject.images)
    with pytest.raises(TypeError, match="Dense does not support explanations: declare `explains = True`"):
        subject.method.explain(subject.model(), subject.images, OperatingPoint())
