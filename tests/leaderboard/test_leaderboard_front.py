"""The front and its hypervolume obey their definitions, whatever the points."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dynvit.leaderboard.front import hypervolume, non_dominated
from dynvit.leaderboard.interval import wilson

# A coarse grid, so that ties and equal points are common.
GRID = st.integers(0, 6).map(float)


def clouds(objectives: tuple[int, ...] = (1, 2, 3, 4), most: int = 12) -> st.SearchStrategy[np.ndarray]:
    return st.sampled_from(objectives).flatmap(
        lambda m: st.integers(0, most).flatmap(lambda n: hnp.arrays(np.float64, (n, m), elements=GRID))
    )


def dominates(a: np.ndarray, b: np.ndarray) -> bool:
    return bool((a <= b).all() and (a < b).any())


@given(clouds())
def test_no_front_point_is_dominated_and_every_other_is_dominated_by_a_front_point(points: np.ndarray) -> None:
    front = non_dominated(points, minimise=[True] * points.shape[1])
    for point in points[front]:
        assert not any(dominates(other, point) for other in points)
    for point in points[~front]:
        assert any(dominates(other, point) for other in points[front])


@given(clouds(), st.randoms(use_true_random=False))
def test_the_front_does_not_depend_on_the_order_or_on_the_sign_of_an_axis(points: np.ndarray, chance) -> None:
    order = list(range(len(points)))
    chance.shuffle(order)
    minimise = [chance.random() < 0.5 for _ in range(points.shape[1])]
    front = non_dominated(points, minimise)
    assert (non_dominated(points[order], minimise) == front[order]).all()
    assert (non_dominated(-points, [not less for less in minimise]) == front).all()


def test_equal_points_stay_together() -> None:
    assert non_dominated([[1, 2], [1, 2], [2, 2]], minimise=(True, True)).tolist() == [True, True, False]


@given(clouds(most=7))
def test_hypervolume_is_inclusion_and_exclusion_over_the_boxes(points: np.ndarray) -> None:
    reference = np.full(points.shape[1], 5.0)
    gains = np.clip(reference - points, 0, None)
    expected = sum(
        (-1) ** (size + 1) * np.prod(gains[list(chosen)].min(axis=0))
        for size in range(1, len(gains) + 1)
        for chosen in itertools.combinations(range(len(gains)), size)
    )
    assert hypervolume(points, reference, [True] * len(reference)) == pytest.approx(expected)


def sliced(points: np.ndarray, reference: float) -> float:
    """The hypervolume by slices along the last objective, O(n² log n) in three: slow, and nothing to get wrong."""
    gains = reference - points
    gains = gains[(gains > 0).all(axis=1)]
    if gains.shape[1] == 1:
        return float(gains.max(initial=0.0))
    ordered = gains[np.argsort(-gains[:, -1], kind="stable")]
    depths = ordered[:, -1] - np.append(ordered[1:, -1], 0.0)
    return sum(d * sliced(-ordered[: i + 1, :-1], 0.0) for i, d in enumerate(depths) if d > 0)


@given(clouds(objectives=(1, 2, 3)) | hnp.arrays(np.float64, (15, 3), elements=st.floats(0, 7)))
def test_hypervolume_is_that_of_its_slices(points: np.ndarray) -> None:
    whole = hypervolume(points, [5.0] * points.shape[1], [True] * points.shape[1])
    assert whole == pytest.approx(sliced(points, 5.0), rel=1e-12, abs=1e-12)


def test_many_points_are_no_matter() -> None:
    points = np.abs(np.random.default_rng(0).normal(size=(2000, 3)))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    assert non_dominated(points, [False] * 3).all(), "points on a sphere are each worth having"
    # An eighth of a ball of radius 1, from below.
    assert 0.97 * np.pi / 6 < hypervolume(points, [0.0] * 3, [False] * 3) < np.pi / 6


@given(hnp.arrays(np.float64, (9, 3), elements=st.floats(0, 1)), st.sampled_from([2, 3]))
def test_hypervolume_agrees_with_optunas(points: np.ndarray, objectives: int) -> None:
    theirs = pytest.importorskip("optuna._hypervolume").compute_hypervolume
    points, reference = points[:, :objectives], np.ones(objectives)
    ours = hypervolume(points, reference, [True] * objectives)
    assert ours == pytest.approx(theirs(points, reference), abs=1e-12)


@given(clouds(objectives=(2, 3)), st.data())
def test_hypervolume_grows_with_points_and_is_that_of_the_front(points: np.ndarray, data) -> None:
    less = [True] * points.shape[1]
    reference = [5.0] * points.shape[1]
    whole = hypervolume(points, reference, less)
    assert whole == pytest.approx(hypervolume(points[non_dominated(points, less)], reference, less))
    more = np.vstack([points, data.draw(hnp.arrays(np.float64, (1, points.shape[1]), elements=GRID))])
    assert hypervolume(more, reference, less) >= whole - 1e-9


def test_what_is_no_point_is_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        non_dominated([[1.0, float("nan")]], minimise=(True, True))
    with pytest.raises(ValueError, match="objectives"):
        non_dominated([[1.0, 2.0, 3.0]], minimise=(True, False))
    with pytest.raises(ValueError, match="finite"):
        hypervolume([[1.0, 2.0]], [float("inf"), 3.0], minimise=(True, True))
    with pytest.raises(ValueError, match="objectives"):
        hypervolume([[1.0, 2.0]], [3.0], minimise=(True, True))


@given(st.integers(1, 60_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilsons_interval_solves_its_own_equation(counts: tuple[int, int]) -> None:
    k, n = counts
    low, high = wilson(k, n)
    assert 0 <= low <= 100 * k / n <= high <= 100
    for end in (low / 100, high / 100):
        # Both ends p satisfy |share - p| = z sqrt(p (1 - p) / n).
        assert abs(k / n - end) == pytest.approx(1.959963984540054 * (end * (1 - end) / n) ** 0.5, abs=1e-7)


@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    [
        (0, 10, 0.0, 27.75327998628892),
        (1, 7, 2.5679624344743557, 51.3127829274319),
        (42, 49, 73.33229377608558, 92.90357627959321),
        (1061, 1300, 79.41761226513741, 83.6268625396051),
        (40000, 50000, 79.64709217819302, 80.3482984253583),
        (10, 10, 72.24672001371106, 100.0),
    ],
)
def test_wilsons_interval_is_what_the_published_boards_hold(k: int, n: int, low: float, high: float) -> None:
    assert wilson(k, n) == pytest.approx((low, high), abs=1e-9)


@pytest.mark.parametrize(("k", "n"), [(0, 0), (-1, 5), (6, 5)])
def test_what_is_no_share_has_no_interval(k: int, n: int) -> None:
    with pytest.raises(ValueError, match="is no share"):
        wilson(k, n)
