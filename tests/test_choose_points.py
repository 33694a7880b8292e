"""Which of a model's points a measurement looks at: one rule for all measurements."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from dynvit.leaderboard.front import non_dominated
from dynvit.measurements.task import MeasuredPoint, choose_points

worths = st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9)), min_size=1, max_size=12)


def points_of(worth: list[tuple[int, int]]) -> list[MeasuredPoint]:
    def record(gmacs: int, top1: int) -> Any:
        return SimpleNamespace(compute=SimpleNamespace(gmacs_mean=gmacs), accuracy=SimpleNamespace(top1_pct=top1))

    made: Any = SimpleNamespace(label="m")
    return [MeasuredPoint(made, made, str(i), record(*one)) for i, one in enumerate(worth)]


@given(worth=worths, count=st.integers(1, 13))
def test_as_many_as_asked_and_those_of_the_front_first(worth: list[tuple[int, int]], count: int) -> None:
    points = points_of(worth)
    chosen = choose_points(points, count)
    assert len({at.record_id for at in chosen}) == len(chosen) == min(count, len(points))
    front = {at.record_id for at, on in zip(points, non_dominated(worth, (True, False)), strict=True) if on}
    if count <= len(front):
        assert {at.record_id for at in chosen} <= front
    else:
        assert front <= {at.record_id for at in chosen}


@given(worth=worths, count=st.integers(2, 13))
def test_the_ends_of_the_front_are_among_them(worth: list[tuple[int, int]], count: int) -> None:
    points = points_of(worth)
    costs = [at.record.compute.gmacs_mean for at in choose_points(points, count)]
    front = [one[0] for one, on in zip(worth, non_dominated(worth, (True, False)), strict=True) if on]
    assert min(front) in costs
    assert max(front) in costs


def test_a_point_that_was_not_measured_may_be_chosen_where_all_are() -> None:
    made: Any = SimpleNamespace(label="m")
    only = MeasuredPoint(made, made, "0")
    assert choose_points([only], 3) == [only]
