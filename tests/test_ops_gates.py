"""Gates: hard values, soft gradients."""

from __future__ import annotations

import pytest
import torch

from dynvit.ops.gates import gumbel_gate, straight_through


def test_straight_through_keeps_the_hard_bits() -> None:
    hard, soft = torch.tensor([0.0, 1.0, 1.0]), torch.tensor([0.1, 1e-9, 0.7])
    assert torch.equal(straight_through(hard, soft), hard)


@pytest.mark.parametrize("probability", [0.05, 0.5, 0.9])
def test_a_gumbel_gate_opens_as_often_as_its_odds_say(probability: float) -> None:
    torch.manual_seed(0)
    log_odds = torch.full((40_000,), probability).logit()
    gate = gumbel_gate(log_odds, temperature=0.5)
    assert set(gate.unique().tolist()) <= {0.0, 1.0}
    assert float(gate.mean()) == pytest.approx(probability, abs=0.01)


def test_the_gradient_is_that_of_the_noisy_sigmoid() -> None:
    log_odds = torch.zeros(10_000, dtype=torch.float64, requires_grad=True)
    torch.manual_seed(0)
    (gradient,) = torch.autograd.grad(gumbel_gate(log_odds).sum(), log_odds)
    # At even odds sigmoid(noise) is uniform, and the mean of u(1 − u) is 1/6.
    assert float(gradient.mean()) == pytest.approx(1 / 6, abs=0.005)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_certain_gates_are_certain_and_finite(dtype: torch.dtype) -> None:
    log_odds = torch.tensor([-200.0, 200.0], dtype=dtype, requires_grad=True)
    gate = gumbel_gate(log_odds)
    gate.sum().backward()
    assert gate.tolist() == [0.0, 1.0]
    assert log_odds.grad is not None
    assert log_odds.grad.isfinite().all()
