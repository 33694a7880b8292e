"""What chance leaves open of the methods' fronts: the same for everybody, right where it can be computed, quick."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from consistent_bench import CHOICES, make_bench
from dynvit.leaderboard.board import Objective
from dynvit.leaderboard.bootstrap import (
    Front,
    MethodBootstrap,
    Offer,
    bootstrap,
    difference,
    draws,
    offers,
    resampled_by_half,
    shares_of_costs,
)
from dynvit.leaderboard.per_sample import PerSampleResults, pack
from dynvit.report import print_board, read_board
from dynvit.report.found import boards_in
from dynvit.report.resampling import Ranked, bootstraps

DENSE = 2.0
POINTS = st.lists(st.tuples(st.floats(0.01, 3.0), st.floats(0, 100)), min_size=1, max_size=8)


def front(*points: tuple[float, float], n: int = 1000, seed: int = 0) -> Front:
    """Points of (GMACs, share of images answered right)."""
    random = np.random.default_rng(seed)
    right = np.stack([random.permutation(np.arange(n) < share * n) for _, share in points])
    return Front(np.array([gmacs for gmacs, _ in points]), right)


@given(POINTS, st.floats(0.01, 1.9))
def test_what_a_front_offers_is_the_best_accuracy_that_a_cost_buys_averaged_over_costs(
    points: list[tuple[float, float]], least: float
) -> None:
    points = [(least, 5.0), *points]
    gmacs, accuracy = np.array(points).T
    middles = np.linspace(least, 2.0, 4001)
    middles = (middles[1:] + middles[:-1]) / 2
    bought = np.mean([max(top1 for cost, top1 in points if cost <= middle) for middle in middles])
    shares = shares_of_costs(gmacs, accuracy, (least, 2.0))
    assert shares.sum() == pytest.approx(1)
    assert accuracy @ shares == pytest.approx(bought, abs=0.25)  # a step within one of the cells


def test_of_points_at_one_cost_the_most_accurate_stands() -> None:
    assert shares_of_costs(np.array([1.0, 1.0, 1.0]), np.array([5, 9, 7]), (1.0, 2.0)).tolist() == [0, 1, 0]


@pytest.mark.parametrize("copies", [1, 3])
def test_more_points_that_are_no_better_make_no_method_better(copies: int) -> None:
    """One of two methods has as many points again by further trainings; in truth both are as accurate at every cost."""
    random, truth = np.random.default_rng(copies), np.repeat([0.9, 0.95, 0.97, 0.97], 2)
    gmacs, better, worse, offered = np.linspace(0.8, 2.0, 8), 0, 0, list[float]()
    for _ in range(100):
        image = random.standard_normal(600)  # how hard it is, for all models
        draw = 0.92 * image + 0.39 * random.standard_normal((copies * 8 + 8, 600))
        right = draw < np.quantile(random.standard_normal(20_000), np.tile(truth, copies + 1))[:, None]
        many, few = Front(np.tile(gmacs, copies), right[:-8]), Front(gmacs, right[-8:])
        of_many, of_few = offers({"many": {0: many}, "few": {0: few}}, DENSE, resamples=100).values()
        low, high = difference(of_few, of_many)
        better, worse = better + (low > 0), worse + (high < 0)
        offered.append(of_many.measured)
    assert better <= 10, "2.5 of a hundred are to be expected"
    assert worse <= 10
    meant = 100 * truth @ shares_of_costs(gmacs, truth, (0.8, DENSE))
    assert np.mean(offered) == pytest.approx(meant, abs=0.3), "no accuracy by luck"


def test_a_method_that_reaches_lower_costs_is_not_better_for_that() -> None:
    fine, coarse = front((1.0, 0.7), (1.5, 0.8)), front((0.4, 0.5), (1.0, 0.7), (1.5, 0.8))
    found = bootstrap(offers({"fine": {0: fine}, "coarse": {0: coarse}}, DENSE))
    assert {(one.rank_best, one.rank_worst, one.from_gmacs) for one in found.values()} == {(1, 2, 1.0)}
    assert found["fine"].mean_pct == pytest.approx(75)


def test_what_saves_nothing_or_is_a_single_point_is_not_ranked_and_takes_no_range_from_the_others() -> None:
    choice, dear, single = front((1.0, 0.7), (1.5, 0.8)), front((2.5, 0.9), (2.6, 0.9)), front((1.9, 0.9))
    found = bootstrap(offers({"choice": {0: choice}, "dear": {0: dear}, "single": {0: single}}, DENSE))
    assert set(found) == {"choice"}
    assert found["choice"].from_gmacs == 1.0
    assert offers({"dear": {0: dear}}, DENSE) == {}


@given(st.integers(1, 300), st.integers(1, 20))
def test_a_resample_draws_as_many_images_as_there_are(n: int, resamples: int) -> None:
    counts = draws(n, resamples)
    assert counts.shape == (resamples, n)
    assert (counts.sum(axis=1) == n).all()


def test_the_draws_are_the_same_on_every_machine_and_for_every_record() -> None:
    assert draws(5, 2).tolist() == [[0, 2, 1, 1, 1], [0, 1, 2, 1, 1]]
    one, other = front((1.0, 0.7)).right, front((1.0, 0.6), seed=1).right
    together = resampled_by_half(np.concatenate([one, other]), 250)
    assert (together[..., :1] == resampled_by_half(one, 250)).all()
    assert len({draws(50, 1, seed).tobytes() for seed in range(3)}) == 3


def test_the_scatter_of_the_resamples_is_the_binomial_one() -> None:
    found = resampled_by_half(front((1.0, 0.8), n=2000).right, 1000).sum(axis=0)[:, 0] / 20
    assert found.mean() == pytest.approx(80, abs=0.15)
    assert found.std() == pytest.approx(100 * np.sqrt(0.8 * 0.2 / 2000), rel=0.1)


def test_methods_that_fail_on_the_same_images_are_told_apart_by_less() -> None:
    base = front((1.0, 0.7), (2.0, 0.7), n=4000)
    better = Front(base.gmacs, base.right | (np.arange(4000) % 200 == 0))  # the same, and a few more
    chance = front((1.0, float(better.right.mean())), (2.0, 0.7), n=4000, seed=7)
    paired = bootstrap(offers({"base": {0: base}, "better": {0: better}}, DENSE))
    assert (paired["better"].rank_best, paired["better"].rank_worst) == (1, 1)
    assert (paired["base"].rank_best, paired["base"].rank_worst) == (2, 2)
    apart = bootstrap(offers({"base": {0: base}, "better": {0: chance}}, DENSE))
    assert {(one.rank_best, one.rank_worst) for one in apart.values()} == {(1, 2)}


def test_seeds_that_scatter_take_a_place_away() -> None:
    low = np.linspace(29, 31, 1000)
    alone = {"a": Offer(30, low, {}, 1.0), "b": Offer(33, low + 3, {}, 1.0)}
    assert bootstrap(alone)["b"].rank_worst == 1
    seeds = alone | {"b": Offer(33, low + 3, {0: 30.0, 1: 33.0, 2: 36.0}, 1.0)}
    found = bootstrap(seeds)
    assert {(one.rank_best, one.rank_worst) for one in found.values()} == {(1, 2)}
    assert (found["b"].seeds, found["b"].seed_sd_pct) == ((0, 1, 2), 3.0)
    assert difference(seeds["a"], seeds["b"])[0] < 0 < 3 < difference(seeds["a"], seeds["b"])[1]


def test_of_several_seeds_the_mean_is_of_their_fronts_and_not_that_of_all_points_together() -> None:
    fronts = {0: front((1.0, 0.7), (1.5, 0.7)), 1: front((1.0, 0.5), (1.5, 0.5), seed=1)}
    found = offers({"m": fronts}, DENSE)["m"]
    assert found.by_seed == pytest.approx({0: 70, 1: 50}, abs=1)
    assert found.measured == pytest.approx(np.mean(list(found.by_seed.values())))


def test_a_training_that_a_seed_lacks_is_no_choice_of_the_others() -> None:
    random = np.random.default_rng(0)

    def points(seed: int, model: str, top1: float) -> dict[Ranked, Any]:
        costs = (1.0, 1.5)
        names = [f"{model}{seed}{cost}".encode().hex().rjust(16, "0")[:16] for cost in costs]
        return {
            Ranked(n, cost, seed, False, model): random.random(400) < top1 for n, cost in zip(names, costs, strict=True)
        }

    def found(*models: dict[Ranked, Any]) -> MethodBootstrap:
        measured = {point: right for model in models for point, right in model.items()}
        kept = {
            point.record_id: PerSampleResults(record_id=point.record_id, n=400, images="a" * 16, right=pack(right))
            for point, right in measured.items()
        }
        return bootstraps({"m": list(measured)}, kept, objectives)["m"]

    objectives = (
        Objective(key="gmacs_mean", higher_is_better=False, reference=DENSE),
        Objective(key="top1_pct", higher_is_better=True, reference=10.0),
    )
    plain = points(0, "a", 0.7), points(1, "a", 0.7)
    better = points(0, "b", 0.9)
    assert found(*plain, better) == found(*plain)
    assert found(*plain, better).seeds == (0, 1)
    alone = found(better, plain[1])
    assert (alone.seeds, alone) == ((), found(better)), "no training that both have: the first seed alone"


def test_a_thousand_resamples_of_ten_thousand_images_and_sixty_records_take_less_than_two_seconds() -> None:
    random = np.random.default_rng(0)
    methods = {
        f"m{place}": {0: Front(random.uniform(0.5, 2.0, 6), random.random((6, 10_000)) < 0.8)} for place in range(10)
    }
    start = time.process_time()
    bootstrap(offers(methods, DENSE))
    assert time.process_time() - start < 2


class TestOfABoard:
    @pytest.fixture(scope="class")
    @classmethod
    def done(cls, tmp_path_factory: pytest.TempPathFactory, measure: Callable[..., Any]) -> Path:
        return make_bench(tmp_path_factory.mktemp("bench"), measure, CHOICES)

    def test_a_run_with_per_sample_results_has_intervals_and_places(self, done: Path) -> None:
        [board] = boards_in(done)
        found = {method.name: method.bootstrap for method in board.methods}
        assert found["dense"] is None
        assert found["topk"] is not None
        assert (found["topk"].seeds, found["topk"].resamples) == ((0, 1), 1000)
        assert found["dvt"] is not None
        assert found["dvt"].low_pct < found["dvt"].mean_pct < found["dvt"].high_pct
        console = Console(width=100, file=io.StringIO(), record=True)
        print_board(board, console)
        text = console.export_text()
        assert "what the fronts offer" in text
        assert "1–2" in text  # 40 images tell nothing apart

    def test_it_is_stored_and_read_again_and_shown_without_the_runs(self, done: Path) -> None:
        board = read_board(done / "leaderboard.json")
        assert board.methods == boards_in(done)[0].methods

    def test_one_record_without_them_leaves_no_ranks(self, done: Path, tmp_path: Path) -> None:
        (tmp_path / "runs.jsonl").write_bytes((done / "runs.jsonl").read_bytes())
        lines = (done / "per_sample.jsonl").read_text().splitlines(keepends=True)
        (tmp_path / "per_sample.jsonl").write_text("".join(lines[:-1]))
        [board] = boards_in(tmp_path)
        assert all(method.bootstrap is None for method in board.methods)
        board.write(tmp_path / "leaderboard.json")
        assert all("bootstrap" not in m for m in json.loads((tmp_path / "leaderboard.json").read_text())["methods"])
