"""What counts when a machine is busy now and then: the arithmetic of turns, on a clock that only work moves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from speed_helpers import FakeMachine

from dynvit.measurements.speed.interleaved import QUIET, Comparison, Round, interleaved

loads = st.lists(st.floats(0.1, 10.0), min_size=7, max_size=7)


def test_a_speedup_is_a_ratio_of_neighbours() -> None:
    machine = FakeMachine()
    found = interleaved(machine.work(3.0), machine.work(2.0), rounds=5, most=9, clock=machine.clock)
    assert found.speedup == pytest.approx(1.5)
    assert len(found.rounds) == len(found.quiet) == 5


def test_rounds_in_which_either_was_slowed_do_not_count_and_others_are_run_instead() -> None:
    machine = FakeMachine()
    base, other = machine.work(3.0, 3.0, 9.0, 3.0), machine.work(2.0, 2.0, 2.0, 12.0, 2.0)
    found = interleaved(base, other, rounds=4, most=9, warmup=0, clock=machine.clock)
    assert found.kept == [0, 4, 5, 6]
    assert found.speedup == pytest.approx(1.5)


@given(loads, loads)
def test_what_counts_is_as_quiet_as_the_best(base: list[float], other: list[float]) -> None:
    machine = FakeMachine()
    found = interleaved(machine.work(*base), machine.work(*other), rounds=6, most=6, clock=machine.clock)
    best = min(min(turn.before, turn.after) for turn in found.rounds)
    fastest = min(turn.other for turn in found.rounds)
    assert all(max(turn.before, turn.after) <= QUIET * best * (1 + 1e-9) for turn in found.quiet)
    assert all(turn.other <= QUIET * fastest * (1 + 1e-9) for turn in found.quiet)


@given(loads, loads)
def test_whoever_is_called_the_base_the_limit_is_the_same(base: list[float], other: list[float]) -> None:
    rounds = [Round(a, b, a) for a, b in zip(base, other, strict=True)]
    turned = [Round(b, a, b) for a, b in zip(base, other, strict=True)]
    one, two = Comparison(tuple(rounds)), Comparison(tuple(turned))
    assert one.kept == two.kept
    if one.kept and len(one.kept) % 2:
        assert one.speedup == pytest.approx(1 / two.speedup)


def test_a_run_that_was_never_quiet_has_no_speedup() -> None:
    machine = FakeMachine()
    base = machine.work(*[float(2**n) for n in range(9)])
    found = interleaved(base, machine.work(1.0), rounds=2, most=4, warmup=0, clock=machine.clock)
    assert found.speedup != found.speedup
    assert str(found) == "nan"
