"""Tokens halt where their scores add up to one: rows against a loop over tokens, for any scores."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dynvit.ops.halting import Halting

EPSILON = 0.01


def run(scores: Tensor, together: bool) -> tuple[Halting, list[Tensor]]:
    """Every token of (steps, B, n) gets its own score; its row says which token it is."""
    steps, batch, count = scores.shape
    numbers = torch.arange(batch * count, dtype=torch.float64).view(batch, count, 1)
    halting, ran = Halting(numbers, steps, EPSILON, together), list[Tensor]()
    for score in scores:
        token = halting.rows.flatten().long()
        ran.append(token)
        halting.step(halting.rows, score.flatten()[token])
    return halting, ran


def alone(scores: list[float]) -> tuple[int, list[float]]:
    """The step at which one token halts, and its weights."""
    total, weights = 0.0, list[float]()
    for step, score in enumerate(scores, 1):
        if total + score >= 1 - EPSILON or step == len(scores):
            return step, [*weights, 1 - total]
        weights.append(score)
        total += score
    raise AssertionError


drawn = st.tuples(st.integers(1, 5), st.integers(1, 3), st.integers(1, 5), st.integers(0, 10_000))


def scores_of(case: tuple[int, int, int, int]) -> Tensor:
    steps, batch, count, seed = case
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(steps + 1, batch, count, generator=generator, dtype=torch.float64) ** 2


@settings(max_examples=40, deadline=None)
@given(drawn)
def test_rows_halt_as_tokens_do_one_by_one(case: tuple[int, int, int, int]) -> None:
    scores = scores_of(case)
    halting, ran = run(scores, together=False)
    halted = halting.halted
    assert not len(halting.rows)
    for image in range(scores.shape[1]):
        for token in range(scores.shape[2]):
            step, weights = alone(scores[:, image, token].tolist())
            assert int(halted.steps[image, token]) == step
            torch.testing.assert_close(float(halted.ponder[image, token]), step + weights[-1])
            number = image * scores.shape[2] + token
            assert [number in rows.tolist() for rows in ran] == [block < step for block in range(len(ran))]
            if token == 0:
                torch.testing.assert_close(halted.weights[image, :step].tolist(), weights)
    torch.testing.assert_close(halted.weights.sum(1), torch.ones(scores.shape[1], dtype=torch.float64))


@settings(max_examples=40, deadline=None)
@given(drawn)
def test_an_image_that_ends_with_its_class_token_has_the_same_mixture(case: tuple[int, int, int, int]) -> None:
    scores = scores_of(case)
    (apart, _), (together, ran) = (run(scores, rule) for rule in (False, True))
    torch.testing.assert_close(together.mixed, apart.mixed)
    torch.testing.assert_close(together.halted.weights, apart.halted.weights)
    ends = apart.halted.steps[:, :1]
    assert torch.equal(together.halted.steps, apart.halted.steps.minimum(ends))
    assert [len(rows) for rows in ran] == [int(counts.sum()) for counts in together.counts[:-1]]


def test_given_decisions_are_repeated_whatever_the_scores_say() -> None:
    scores = scores_of((4, 2, 3, 0))
    halting, _ = run(scores, together=True)
    tokens = torch.zeros(2, 3, 1, dtype=torch.float64)
    again = Halting(tokens, len(scores), EPSILON, True, halting.halted)
    for _ in scores:
        again.step(again.rows, torch.zeros(len(again.rows), dtype=torch.float64))
    assert torch.equal(again.halted.steps, halting.halted.steps)
    assert torch.equal(again.halted.weights, halting.halted.weights)
