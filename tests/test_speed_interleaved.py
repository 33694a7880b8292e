"""Which rounds are valid when a machine is busy at times, on a clock that only work advances."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from speed_helpers import FakeMachine

from dynvit.measurements.speed.interleaved import VALID_WITHIN, Comparison, Round, interleaved

loads = st.lists(st.floats(0.1, 10.0), min_size=7, max_size=7)


def test_a_speedup_is_a_ratio_of_neighbouring_times() -> None:
    machine = FakeMachine()
    found = interleaved(machine.work(3.0), machine.work(2.0), rounds=5, most=9, clock=machine.clock)
    assert found.speedup == pytest.approx(1.5)
    assert len(found.rounds) == len(found.valid) == 5


def test_rounds_in_which_either_was_slowed_are_invalid_and_others_are_run_instead() -> None:
    machine = FakeMachine()
    base, other = machine.work(3.0, 3.0, 9.0, 3.0), machine.work(2.0, 2.0, 2.0, 12.0, 2.0)
    found = interleaved(base, other, rounds=4, most=9, warmup=0, clock=machine.clock)
    assert found.valid_indices == [0, 4, 5, 6]
    assert found.speedup == pytest.approx(1.5)


@given(loads, loads)
def test_valid_rounds_are_within_the_limit_of_the_best(base: list[float], other: list[float]) -> None:
    machine = FakeMachine()
    found = interleaved(machine.work(*base), machine.work(*other), rounds=6, most=6, clock=machine.clock)
    best = min(min(round.before, round.after) for round in found.rounds)
    fastest = min(round.other for round in found.rounds)
    assert all(max(round.before, round.after) <= VALID_WITHIN * best * (1 + 1e-9) for round in found.valid)
    assert all(round.other <= VALID_WITHIN * fastest * (1 + 1e-9) for round in found.valid)


@given(loads, loads)
def test_the_limit_is_the_same_for_base_and_other(base: list[float], other: list[float]) -> None:
    rounds = [Round(a, b, a) for a, b in zip(base, other, strict=True)]
    swapped = [Round(b, a, b) for a, b in zip(base, other, strict=True)]
    one, two = Comparison(tuple(rounds)), Comparison(tuple(swapped))
    assert one.valid_indices == two.valid_indices
    if one.valid_indices and len(one.valid_indices) % 2:
        assert one.speedup == pytest.approx(1 / two.speedup)


def test_a_run_without_valid_rounds_has_no_speedup() -> None:
    machine = FakeMachine()
    base = machine.work(*[float(2**n) for n in range(9)])
    found = interleaved(base, machine.work(1.0), rounds=2, most=4, warmup=0, clock=machine.clock)
    assert found.speedup != found.speedup
    assert str(found) == "nan"
