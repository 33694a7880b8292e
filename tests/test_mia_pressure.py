"""How hard MIA-Former's training pulls towards its target: the constants of the paper, and our readings of the rest."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dynvit.errors import InputError
from dynvit_methods.mia.options import MIAOptions
from dynvit_methods.mia.pressure import MOST_SCALE, CostScale, beta_of
from dynvit_methods.mia.recipes import RECIPES, MIARecipe
from dynvit_methods.mia.stages import stages
from test_mia_training import SHORT, batch, tiny

COSTS = st.lists(st.floats(0.0, 1.2, allow_nan=False), min_size=1, max_size=12)


@given(COSTS)
def test_the_papers_scale_is_constant(costs: list[float]) -> None:
    scale = CostScale(0.1, 1.0)
    assert {float(scale.step(torch.tensor(cost), 0.7)) for cost in costs} == {0.1}


@given(COSTS, st.floats(1.01, 2.0))
def test_a_growing_scale_grows_on_one_side_and_stays_in_its_range(costs: list[float], growth: float) -> None:
    scale = CostScale(0.1, growth)
    before, side = 0.1, 0.0
    for cost in costs:
        now = float(scale.step(torch.tensor(cost), 0.7))
        new_side = math.copysign(1, cost - 0.7) if cost != pytest.approx(0.7, abs=1e-6) else None
        if new_side is None:
            return
        if new_side == side:
            assert now == pytest.approx(min(before * growth, MOST_SCALE), rel=1e-5)
        else:
            assert now == pytest.approx(max(before / 2, 0.1), rel=1e-5)
        before, side = now, new_side
    scale.reset()
    assert float(scale.scale) == pytest.approx(0.1)


def test_a_growing_scale_is_in_the_state_of_a_training() -> None:
    model = tiny(cost_growth=1.5)
    stage = {stage.name: stage for stage in stages(model, SHORT)}["co-train"]
    for _ in range(2):
        stage.loss(model, batch())
    [held] = stage.frozen
    assert set(held.state_dict()) == {"scale", "side"}
    assert float(held.state_dict()["side"]) != 0
    assert stage.begin is not None
    stage.begin(model)
    assert float(held.state_dict()["side"]) == 0


@given(st.lists(st.booleans(), min_size=2, max_size=16), st.floats(0.3, 1.0), st.floats(0.0, 9.0))
def test_beta_is_given_or_measured(right: list[bool], executed: float, beta: float) -> None:
    correct = torch.tensor(right, dtype=torch.float32)
    sampled = torch.linspace(0.5, 0.9, len(right))
    at = torch.tensor(executed)
    assert beta_of("fixed", beta, correct, sampled, at, 0.7) == beta
    followed = float(beta_of("proportional", beta, correct, sampled, at, 0.7))
    assert followed == pytest.approx(10 * beta * (executed - 0.7), abs=1e-4)
    weighed = float(beta_of("scatter", beta, correct, sampled, at, 0.7))
    if len(set(right)) == 1:
        assert weighed == beta
    else:
        assert float((weighed * sampled).std()) == pytest.approx(float(correct.std()), rel=1e-4)


def test_the_letter_makes_the_papers_choices_and_is_never_taken_unasked() -> None:
    letter = RECIPES["digits-letter"]
    assert isinstance(letter, MIARecipe)
    choices = letter.choices(MIAOptions())
    assert (choices.cost_scale, choices.cost_growth, choices.reward, choices.beta, choices.beta_rule) == (
        *(0.1, 1.0, "paper", 1.0, "fixed"),
    )
    assert (choices.actor, choices.noise, choices.final_noise, letter.policy_noise) == ("usage", 1.0, None, 1.0)
    assert letter.scope.by_name
    read = letter.choices(MIAOptions(cost_growth=1.05, beta_rule="proportional"))
    assert (read.cost_growth, read.beta_rule) == (1.05, "proportional")
    with pytest.raises(InputError, match="option cost_growth must be a factor from 1 to 2"):
        MIAOptions(cost_growth=0.9)
