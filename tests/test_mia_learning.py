"""What MIA-Former's three stages learn from, without a model: losses, rewards, A2C, inheritance."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from dynvit_methods.mia.inherit import mixed
from dynvit_methods.mia.losses import cost_weight, keep_loss
from dynvit_methods.mia.reinforce import (
    Step,
    actor_critic,
    advantage,
    bernoulli_entropy,
    log_prob,
    reward,
)


def test_nothing_is_left_to_learn_only_where_everything_is_kept() -> None:
    masks = [torch.ones(4), torch.ones(4, 3), torch.ones(4, 16)]
    assert keep_loss(masks) == keep_loss(masks, "mean") == 0
    masks[2][0, 0] = 0
    assert float(keep_loss(masks)) == pytest.approx(1 / 4)
    assert float(keep_loss(masks, "mean")) == pytest.approx(1 / 4 / 16)


@given(task=st.floats(0.01, 5), cost=st.floats(0.1, 1), target=st.floats(0.1, 1), scale=st.floats(0.01, 2))
def test_alpha_flips_its_sign_at_the_target_and_keeps_its_size(
    task: float, cost: float, target: float, scale: float
) -> None:
    loss, share = torch.tensor(task), torch.tensor(cost)
    alpha = float(cost_weight(loss, share, share, target, scale))
    side = float(share) - float(torch.tensor(target))
    assert alpha == pytest.approx((side > 0) - (side < 0) and scale * task / cost * (1 if side > 0 else -1), rel=1e-4)


def test_the_cost_term_moves_gates_and_not_the_task_loss() -> None:
    keep = torch.tensor(0.9, requires_grad=True)
    task = (torch.tensor(2.0) * keep).square()
    for target, direction in ((0.7, 1), (0.95, -1)):
        alpha = cost_weight(task, keep, keep, target)
        (gradient,) = torch.autograd.grad(alpha * keep, keep, retain_graph=True)
        assert float(gradient) == pytest.approx(direction * 0.1 * float(task.detach()) / 0.9)
    assert not alpha.requires_grad


def test_the_papers_reward_knows_the_target_only_as_a_constant() -> None:
    generator = torch.Generator().manual_seed(0)
    correct = torch.randint(2, (16,), generator=generator).float()
    executed, live = torch.rand(16, generator=generator), torch.ones(16)
    gains = [
        advantage(reward(correct, executed, target, 2.0, "paper", executed.mean()), torch.zeros(16), live)
        for target in (0.3, 0.9)
    ]
    torch.testing.assert_close(gains[0], gains[1])
    over, under = (reward(correct, executed, target, 2.0, "signed", executed.mean()) for target in (0.1, 0.9))
    torch.testing.assert_close(over - correct, 2.0 * (0.1 - executed))
    torch.testing.assert_close(under - correct, -2.0 * (0.9 - executed))


def test_decisions_of_skipped_blocks_do_not_count() -> None:
    live = torch.tensor([1.0, 0.0, 1.0])
    logits = torch.randn(3, 4, requires_grad=True)
    value = torch.zeros(3, requires_grad=True)
    returns = torch.tensor([1.0, 100.0, 0.0])
    terms = actor_critic([Step(logits, torch.ones(3, 4), value, live)], returns)
    found = torch.autograd.grad(terms.policy + terms.value + terms.entropy, (logits, value))
    assert all(not gradient[1].any() and gradient[0].any() for gradient in found)
    assert advantage(returns, value, live).tolist() == [0.5, 0.0, -0.5]
    assert advantage(returns, value, live, "standardize").tolist() == [1.0, 0.0, -1.0]
    assert advantage(returns, value, live, "none").tolist() == [1.0, 0.0, 0.0]


def test_joint_probabilities_and_entropies_are_those_of_a_bernoulli_row() -> None:
    probabilities = torch.tensor([[0.2, 0.9]])
    logits = torch.logit(probabilities)
    assert float(log_prob(logits, torch.tensor([[1.0, 0.0]])).exp()) == pytest.approx(0.2 * 0.1)
    by_hand = torch.distributions.Bernoulli(probabilities).entropy().sum()
    assert float(bernoulli_entropy(logits)) == pytest.approx(float(by_hand))


@pytest.mark.parametrize(("form", "beta", "target", "kept"), [("paper", 0.5, 0.1, 1.0), ("paper", 2.0, 0.9, 0.0)])
def test_a2c_finds_the_better_action(form: str, beta: float, target: float, kept: float) -> None:
    """One gate, an answer that is right where it is open, and compute that is worth less, or more, than an answer."""
    logit, value = _bandit(beta, target, form, steps=300)
    assert float(torch.sigmoid(logit)) == pytest.approx(kept, abs=0.1)
    best = 1 + beta * (target - 1) if kept else beta * target
    assert float(value) == pytest.approx(best, abs=0.1)


def _bandit(beta: float, target: float, form: str, steps: int) -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    logit, value = torch.zeros(1, requires_grad=True), torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.Adam([logit, value], lr=0.05)
    for _ in range(steps):
        logits = logit.expand(64, 1)
        actions = torch.bernoulli(torch.sigmoid(logits.detach()))
        kept = actions[:, 0]
        returns = reward(kept, kept, target, beta, form, kept.mean())  # type: ignore[arg-type]
        terms = actor_critic([Step(logits, actions, value.expand(64), torch.ones(64))], returns)
        optimizer.zero_grad()
        (terms.policy + 0.5 * terms.value - 0.01 * terms.entropy).backward()
        optimizer.step()
    return logit.detach(), value.detach()


@given(inherit=st.sampled_from([0.0, 0.5, 0.75, 1.0]), rows=st.integers(1, 9), columns=st.integers(1, 9))
def test_exactly_the_asked_share_of_weights_is_drawn_anew(inherit: float, rows: int, columns: int) -> None:
    trained, fresh = torch.zeros(rows, columns), torch.ones(rows, columns)
    made = mixed(trained, fresh, inherit)
    assert int(made.sum()) == rows * columns - round(inherit * rows * columns)
    assert not trained.any()


def test_which_weights_are_drawn_follows_from_the_seed() -> None:
    made = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        made.append(mixed(torch.zeros(40, 10), torch.ones(40, 10), 0.75))
    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[0], made[2])
