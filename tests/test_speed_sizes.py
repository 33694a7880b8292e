"""A method against dense over the batch size: the ratios, memory that runs out, a machine that is busy."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from speed_helpers import FakeMachine, FakeModel, always, by_pixel, sizes, speed_test

from dynvit.errors import InputError
from dynvit.measurements.speed.settings import SpeedSettings
from dynvit.measurements.speed.timing import MOST, expected_images, round_images
from dynvit.settings import flags_of, validated

FAST = SpeedSettings(batches=(1, 4, 32), rounds=3)


@settings(deadline=None, max_examples=20)  # the fake clock does not run between examples
@given(st.floats(0.1, 9.0), st.floats(0.1, 9.0))
def test_the_share_is_realised_over_theoretical(dense: float, method: float) -> None:
    machine = FakeMachine()
    test = speed_test(FakeModel(machine, always(dense)), FakeModel(machine, always(method)))
    for timing in test.sizes(FAST):
        assert timing.realised == pytest.approx(dense / method)
        assert timing.theoretical == pytest.approx(300 / (100 * method))
        assert timing.share == pytest.approx(timing.realised / timing.theoretical)
        assert timing.images_per_s == pytest.approx(1 / method)
        assert timing.dense_images_per_s == pytest.approx(1 / dense)


def test_batch_size_one_is_timed_on_all_images_and_not_on_the_median_one() -> None:
    machine = FakeMachine()
    test = speed_test(FakeModel(machine, always(3.0)), FakeModel(machine, by_pixel))
    one, *_ = found = list(test.sizes(FAST))
    assert [timing.realised for timing in found] == pytest.approx([3 / 2.5] * 3)
    assert [timing.share for timing in found] == pytest.approx([1.0] * 3)
    assert {round(seconds, 6) for seconds in one.latencies} == {1.0, 4.0}
    assert len(one.latencies) == 3 * round_images(1)


def test_every_round_has_the_same_images_in_whole_batches() -> None:
    machine = FakeMachine()
    method = FakeModel(machine, always(1.0))
    [timing] = speed_test(FakeModel(machine, always(1.0)), method).sizes(SpeedSettings(batches=(5,), rounds=2))
    assert set(method.ran) == {5}
    assert timing.images == timing.different_images == 35


def test_images_are_taken_again_where_the_split_has_fewer() -> None:
    machine = FakeMachine()
    pixels = torch.zeros(10, 3, 2, 2, dtype=torch.uint8)
    test = speed_test(FakeModel(machine, always(1.0)), FakeModel(machine, always(1.0)), pixels)
    [timing] = test.sizes(SpeedSettings(batches=(64,), rounds=1))
    assert (timing.images, timing.different_images) == (64, 10)


def test_rounds_on_a_busy_machine_are_not_valid() -> None:
    machine = FakeMachine()
    calls = iter(range(10**6))

    def busy() -> None:
        machine.load = 5.0 if next(calls) % 7 in (3, 4) else 1.0

    test = speed_test(FakeModel(machine, always(3.0), before=busy), FakeModel(machine, always(2.0), before=busy))
    [timing] = test.sizes(SpeedSettings(batches=(32,), rounds=3))
    assert timing.realised == pytest.approx(1.5)
    assert len(timing.comparison.valid) == 3 < len(timing.comparison.rounds)
    assert timing.latencies == pytest.approx([64.0] * 3)


def test_a_machine_that_is_always_busy_gives_no_timing_and_a_warning() -> None:
    machine = FakeMachine()

    def busier() -> None:
        machine.load *= 2

    test = speed_test(FakeModel(machine, always(1.0), before=busier), FakeModel(machine, always(1.0)))
    with pytest.warns(UserWarning, match=f"none of {2 * MOST} rounds was valid"):
        assert list(test.sizes(SpeedSettings(batches=(32,), rounds=2))) == []


@pytest.mark.parametrize(
    "error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("can't allocate memory: 9")]
)
@pytest.mark.parametrize("greedy", ["dense", "method"])
def test_a_batch_that_does_not_fit_is_halved_until_it_does(error: BaseException, greedy: str) -> None:
    machine = FakeMachine()
    small, large = FakeModel(machine, always(1.0), fits=9, error=error), FakeModel(machine, always(1.0))
    test = speed_test(*((small, large) if greedy == "dense" else (large, small)))
    who = "the dense backbone" if greedy == "dense" else "demo"
    with pytest.warns(UserWarning, match="does not fit in memory") as said:
        found = list(test.sizes(SpeedSettings(batches=(2, 32, 64), rounds=1)))
    assert sizes(found) == [(2, 2), (32, 8)]
    halves = [str(warning.message).partition(";")[0] for warning in said]
    assert halves == [f"demo: batch {n} does not fit in memory ({who}): halved to {n // 2}" for n in (32, 16)]


def test_a_half_that_is_measured_already_is_not_measured_again() -> None:
    machine = FakeMachine()
    test = speed_test(FakeModel(machine, always(1.0)), FakeModel(machine, always(1.0), fits=4))
    with pytest.warns(UserWarning, match="halved to 4"):
        assert sizes(list(test.sizes(SpeedSettings(batches=(4, 8, 16), rounds=1)))) == [(4, 4)]
    with pytest.warns(UserWarning, match="halved to 4"):
        assert list(test.sizes(SpeedSettings(batches=(4, 8), rounds=1), wanted=lambda size: size == 8)) == []


def test_one_image_that_does_not_fit_is_an_error_and_other_errors_pass_through() -> None:
    machine = FakeMachine()
    with pytest.raises(InputError, match="demo does not fit in memory with one image"):
        list(speed_test(FakeModel(machine, always(1.0)), FakeModel(machine, always(1.0), fits=0)).sizes(FAST))
    broken = FakeModel(machine, always(1.0), fits=0, error=RuntimeError("shapes differ"))
    with pytest.raises(RuntimeError, match="shapes differ"):
        list(speed_test(FakeModel(machine, always(1.0)), broken).sizes(FAST))


def test_only_wanted_sizes_are_measured_and_the_work_is_as_expected() -> None:
    machine, ticks = FakeMachine(), []
    test = speed_test(FakeModel(machine, always(1.0)), FakeModel(machine, always(1.0)), tick=ticks.append)
    assert sizes(list(test.sizes(FAST, wanted=lambda size: size != 4))) == [(1, 1), (32, 32)]
    assert sum(ticks) == expected_images(1, 3) + expected_images(32, 3)


@pytest.mark.parametrize("wrong", [{"batches": ()}, {"batches": (4, 0)}, {"rounds": 0}, {"dtype": "fp16"}])
def test_settings_that_measure_nothing_are_refused(wrong: dict) -> None:
    [name] = wrong
    with pytest.raises(InputError, match=f"--speed-{name}"):
        validated(SpeedSettings, wrong, flags_of(SpeedSettings, "speed"))
