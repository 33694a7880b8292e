"""Thresholds for a budget: the best there are, and never worse than the released exit shares."""

from __future__ import annotations

import dataclasses
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynvit_methods.dvt.thresholds import (
    Confidences,
    as_knobs,
    released_shares,
    released_thresholds,
    solve_expected,
    solve_optimal,
    solve_released,
)

COSTS = (1.0, 3.0, 8.0, 13.0)


@st.composite
def known(draw: st.DrawFn, most: int = 9) -> Confidences:
    """Scores on a coarse grid, so that ties are common."""
    exits, count = draw(st.integers(2, 3)), draw(st.integers(1, most))
    row = st.lists(st.integers(0, 5), min_size=count, max_size=count)
    scores = np.array([draw(row) for _ in range(exits - 1)], dtype=np.float32) / 6
    right = st.lists(st.booleans(), min_size=count, max_size=count)
    return Confidences(scores, np.array([draw(right) for _ in range(exits)]), COSTS[:exits])


def realistic(count: int, exits: int, seed: int = 0) -> Confidences:
    rng = np.random.default_rng(seed)
    hard = rng.random(count)
    right = np.stack([rng.random(count) < 1 - hard * (0.6 - 0.12 * k) for k in range(exits)])
    sure = np.stack([1 - hard * (0.6 - 0.12 * k) + rng.normal(0, 0.15, count) for k in range(exits - 1)])
    return Confidences(np.clip(sure, 0, 1 - 1e-7).astype(np.float32), right, COSTS[:exits])


@settings(max_examples=150, deadline=None)
@given(known(), st.floats(1.0, 8.0))
def test_up_to_three_exits_nothing_is_better(table: Confidences, budget: float) -> None:
    (found,) = solve_optimal(table, [budget])
    spent, accuracy = table.measure(found)
    assert spent <= budget
    levels = [(0.0, 1.0, *np.unique(row).tolist()) for row in table.scores]
    rivals = [table.measure(row) for row in product(*levels)]
    best = max((right, -cost) for cost, right in rivals if cost <= budget)
    assert (accuracy, -spent) == pytest.approx(best)


@pytest.mark.parametrize("exits", [2, 3, 4])
def test_never_worse_than_the_released_shares_and_within_budget(exits: int) -> None:
    table = realistic(400, exits)
    budgets = np.linspace(COSTS[0], COSTS[exits - 1], 9)
    ours, released = solve_optimal(table, budgets), solve_released(table, budgets)
    gains = []
    for budget, one, other in zip(budgets, ours, released, strict=True):
        (spent, right), (other_spent, other_right) = table.measure(one), table.measure(other)
        assert spent <= budget
        assert other_spent <= budget
        gains.append(right - other_right)
    assert min(gains) >= 0
    assert max(gains) > 0
    rows = (as_knobs(released_thresholds(table.scores, released_shares(p, exits))) for p in range(1, 60))
    steps = [table.measure(row) for row in rows]
    for (_, right), (spent, found) in zip(
        steps, map(table.measure, solve_optimal(table, [spent for spent, _ in steps])), strict=True
    ):
        assert found >= right
        assert spent <= max(cost for cost, _ in steps)


def test_more_budget_is_never_less_accuracy() -> None:
    table = realistic(300, 3)
    right = [table.measure(row)[1] for row in solve_optimal(table, np.linspace(1, 8, 20))]
    assert right == sorted(right)


def test_thresholds_stand_between_scores() -> None:
    """An image whose score differs in its last digit from one machine to the next stays on its side."""
    table = realistic(200, 3)
    for row in solve_optimal(table, [2.0, 4.0, 6.0]):
        for scores, threshold in zip(table.scores, row, strict=True):
            assert threshold in (0.0, 1.0) or np.abs(scores - threshold).min() > 1e-7


def test_expected_accuracy_rises_with_the_score_and_is_calibrated() -> None:
    table = dataclasses.replace(realistic(500, 3), last_scores=np.linspace(0, 1, 500))
    expected = table.expected()
    for scores, row, right in zip(table.scores, expected, table.correct, strict=False):
        assert (np.diff(row[np.argsort(scores, kind="stable")]) >= -1e-12).all()
        assert row.mean() == pytest.approx(right.mean(), abs=0.01)
    budgets = np.linspace(1, 8, 7)
    chosen = [table.exits(row) for row in solve_expected(table, budgets)]
    rivals = [table.exits(row) for row in solve_optimal(table, budgets)]
    for one, other in zip(chosen, rivals, strict=True):
        assert expected[one, range(500)].sum() >= expected[other, range(500)].sum() - 1e-6


@given(st.integers(1, 59), st.integers(2, 4))
def test_released_shares_are_geometric(step: int, exits: int) -> None:
    shares = released_shares(step, exits)
    assert shares.sum() == pytest.approx(1, rel=1e-5)
    np.testing.assert_allclose(shares[1:] / shares[:-1], step / 20, rtol=1e-4)
