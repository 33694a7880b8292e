"""Searches in batches: what is proposed depends on the seed and the size of a batch, and on no process."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import optuna
import pytest
from bench_helpers import SMALL, bench, recorded
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from dynvit.api.benching import plan_bench, run_bench
from dynvit.api.dividing import command_words
from dynvit.api.launching import Engine, launch_bench
from dynvit.benchmark.cells import cells_of, find_cell
from dynvit.benchmark.folder import check_folder, claim_folder
from dynvit.benchmark.identity import identity
from dynvit.benchmark.parts import cell_part
from dynvit.benchmark.proposals import Proposals, keep_worth
from dynvit.benchmark.run import Bench
from dynvit.benchmark.searching import _third
from dynvit.errors import InputError
from dynvit.interface import OperatingPoint
from dynvit.measurements.runner import Runner
from dynvit.measurements.task import MeasuredPoint
from dynvit.search import Objectives, SamplerName, Sampling, Search, search

KNOBS: dict[str, BaseDistribution] = {
    "keep": FloatDistribution(0.1, 1.0),
    "stages": IntDistribution(1, 5),
    "by": CategoricalDistribution(["norm", "class"]),
}


def fake(point: OperatingPoint) -> Objectives:
    """More is better and dearer, and one choice is a mistake."""
    keep, stages = float(point["keep"]), int(point["stages"])
    return Objectives(80 * keep + stages - (7 if point["by"] == "norm" else 0), 0.5 + keep**2 * stages)


def proposed(sampling: Sampling) -> list[OperatingPoint]:
    """What a search proposes that is done in one process."""
    seen: list[OperatingPoint] = []

    def measure(point: OperatingPoint) -> Objectives:
        seen.append(point)
        return fake(point)

    search(KNOBS, sampling, measure)
    return seen


def samplings(batch: st.SearchStrategy[int]) -> st.SearchStrategy[Sampling]:
    return st.builds(
        Sampling, st.sampled_from(["nsga2", "tpe"]), st.integers(1, 25), st.integers(0, 99), batch, st.none()
    )


def asked_of_optuna(sampling: Sampling, *, liar: bool = True) -> list[OperatingPoint]:
    """The same by Optuna's own calls: a batch is asked for, then told."""
    start = max(4, sampling.trials // 4)
    kinds: dict[SamplerName, Callable[[], optuna.samplers.BaseSampler]] = {
        "nsga2": lambda: optuna.samplers.NSGAIISampler(seed=sampling.seed, population_size=start),
        "tpe": lambda: optuna.samplers.TPESampler(seed=sampling.seed, n_startup_trials=start, constant_liar=liar),
    }
    study = optuna.create_study(sampler=kinds[sampling.sampler](), directions=["maximize", "minimize"])
    found = []
    for batch in sampling.batches():
        trials = [study.ask(KNOBS) for _ in batch]
        found += [OperatingPoint(**trial.params) for trial in trials]
        for trial in trials:
            study.tell(trial, fake(OperatingPoint(**trial.params)).values)
    return found


@given(samplings(st.just(1)))
@settings(max_examples=15, deadline=None)
def test_a_batch_of_one_proposes_what_optuna_does_one_by_one(sampling: Sampling) -> None:
    assert [len(batch) for batch in sampling.batches()] == [1] * sampling.trials
    assert proposed(sampling) == asked_of_optuna(sampling)


def test_a_batch_of_tpe_keeps_away_from_what_is_being_measured() -> None:
    sampling = Sampling("tpe", 24, 3, 6)
    assert proposed(sampling) == asked_of_optuna(sampling)
    assert proposed(sampling) != asked_of_optuna(sampling, liar=False)
    assert proposed(sampling) != proposed(replace(sampling, batch=1))
    assert proposed(replace(sampling, batch=1)) == asked_of_optuna(replace(sampling, batch=1), liar=False)


@given(samplings(st.integers(1, 30)))
@settings(max_examples=15, deadline=None)
def test_the_size_of_a_batch_changes_nothing_that_nsga2_proposes(sampling: Sampling) -> None:
    batched = Sampling("nsga2", sampling.trials, sampling.seed, sampling.batch)
    assert proposed(batched) == proposed(Sampling("nsga2", sampling.trials, sampling.seed))


@given(samplings(st.integers(1, 30)))
def test_batches_are_all_trials_and_cross_no_edge(sampling: Sampling) -> None:
    batches = sampling.batches()
    assert [number for batch in batches for number in batch] == list(range(sampling.trials))
    assert all(1 <= len(batch) <= sampling.batch for batch in batches)
    generations = [{number // sampling.drawn for number in batch} for batch in batches]
    if sampling.sampler == "nsga2":
        assert all(len(generation) == 1 for generation in generations)
    assert all(len({number < sampling.drawn for number in batch}) == 1 for batch in batches)


@given(samplings(st.integers(1, 6)), st.integers(1, 20))
@settings(max_examples=15, deadline=None)
def test_more_trials_go_on_from_those_that_were_proposed(sampling: Sampling, more: int) -> None:
    longer = Sampling(sampling.sampler, sampling.trials + more, sampling.seed, sampling.batch, begun=sampling.trials)
    assert proposed(longer)[: sampling.trials] == proposed(sampling)


class Killed(Exception):
    """The process ends here."""


@dataclass
class Workers:
    """A bench whose cells are a fake: what is measured, in which folder; ``at_most`` trials until a kill."""

    folder: Path
    sampling: Sampling
    knobs: dict[str, dict[str, BaseDistribution]] = field(default_factory=lambda: {"topk": KNOBS})
    written: dict[str, list[OperatingPoint]] = field(default_factory=dict)
    measured: list[OperatingPoint] = field(default_factory=list)

    @property
    def searches(self) -> Workers:
        return self

    def kept(self, label: str) -> list[OperatingPoint]:
        return list(self.written.get(label, ()))

    def keep(self, label: str, points: list[OperatingPoint]) -> None:
        self.written[label] = list(points)

    def work(self, order: Iterator[int], at_most: float = float("inf")) -> list[OperatingPoint]:
        """Do the trials of each batch in any order, each point once; returns what was proposed."""
        proposals = Proposals(cast(Bench, self), "topk")
        for batch in self.sampling.batches():
            for trial in sorted(batch, key=lambda _: next(order)):
                point = proposals.point(trial)
                folder = self.folder / "cells" / f"search-topk-{trial}"
                if self.kept("topk").index(point) < trial or folder.exists():
                    continue
                if len(self.measured) >= at_most:
                    raise Killed
                self.measured.append(point)
                keep_worth(folder, fake(point))
        return self.kept("topk")


@given(sampling=samplings(st.integers(2, 6)), data=st.data())
@settings(max_examples=10, deadline=None)
def test_any_workers_in_any_order_killed_anywhere_do_what_one_process_does(
    tmp_path_factory: pytest.TempPathFactory, sampling: Sampling, data: st.DataObject
) -> None:
    workers = Workers(tmp_path_factory.mktemp("workers"), sampling)
    order = _order(data)
    killed = data.draw(st.integers(0, sampling.trials), "measured before the kill")
    with contextlib.suppress(Killed):
        workers.work(order, killed)
    assert workers.work(order) == proposed(sampling)
    assert len(workers.measured) == len(set(workers.measured)) == len(set(proposed(sampling)))
    workers.sampling = replace(sampling, trials=sampling.trials + 5, begun=sampling.trials)
    assert workers.work(order) == proposed(workers.sampling)
    assert len(workers.measured) == len(set(proposed(workers.sampling)))


def _order(data: st.DataObject) -> Iterator[int]:
    random = data.draw(st.randoms(use_true_random=False))
    while True:
        yield random.getrandbits(30)


def test_what_another_machine_proposed_is_measured_and_not_what_this_one_would() -> None:
    sampling = Sampling("tpe", 12, 0, 4)
    kept = [OperatingPoint(**{**point, "keep": float(point["keep"]) + 1e-12}) for point in proposed(sampling)[:8]]
    found = Search(KNOBS, sampling, kept=kept)
    while points := found.ask():
        found.tell([fake(point) for point in points])
    assert found.asked[:8] == kept
    assert set(found.best()) <= set(found.asked)


def planned(folder: Path, **options: Any) -> Bench:
    search = {"methods": ("dense", "topk"), "epochs": 1, "limit": 20, "calibration": 40, "sampler": "tpe", "trials": 6}
    return plan_bench(None, {**SMALL, **search, "output": str(folder), **options})


def test_a_bench_that_searches_in_batches_has_a_cell_for_each_trial(tmp_path: Path) -> None:
    needs = {cell.name: cell.needs for cell in cells_of(planned(tmp_path / "out", search_batch=3))}
    assert needs["search:topk:0"] == ("train:dense",)
    assert needs["search:topk:3"] == ("search:topk:0", "search:topk:1", "search:topk:2")  # four are drawn first
    assert needs["search:topk:5"] == ("search:topk:3",)
    assert needs["accuracy:topk"] == tuple(f"search:topk:{trial}" for trial in range(6))
    assert needs["accuracy:dense"] == ("train:dense",)
    assert not any(name.startswith("search:dense") for name in needs)
    singly = [cell.name for cell in cells_of(planned(tmp_path / "out"))]
    assert singly == ["train:dense", "accuracy:dense", "accuracy:topk"]


def test_a_folder_keeps_the_size_of_its_batches_where_proposals_depend_on_it(tmp_path: Path) -> None:
    def of(**options: Any) -> dict[str, Any]:
        made = planned(tmp_path / "out", **options)
        return identity(made.config, made.session)

    assert of() == of(search_batch=1)
    assert "search_batch" not in of(sampler="nsga2", search_batch=4)
    claim_folder(tmp_path / "one", of())
    with pytest.raises(InputError, match="was made with search_batch = 1, not 4"):
        check_folder(tmp_path / "one", of(search_batch=4))
    claim_folder(tmp_path / "four", of(search_batch=4))
    with pytest.raises(InputError, match="was made with search_batch = 4, not 1"):
        check_folder(tmp_path / "four", of())
    assert check_folder(tmp_path / "four", of(search_batch=4, trials=9))
    claim_folder(tmp_path / "nsga2", of(sampler="nsga2", search_batch=4))
    assert check_folder(tmp_path / "nsga2", of(sampler="nsga2"))


@pytest.mark.parametrize("worth", [None, float("nan"), float("inf")])
def test_what_a_measurement_says_of_a_point_must_be_a_number(worth: float | None) -> None:
    measurer = SimpleNamespace(objective=lambda at, runner: worth)
    runner = SimpleNamespace(measurement=SimpleNamespace(name="energy", measurer=measurer))
    at = SimpleNamespace(point=OperatingPoint(keep=0.5), opened=SimpleNamespace(label="topk"))
    with pytest.raises(InputError, match=f"'energy' must give a search a number at every point, got {worth} at keep"):
        _third(cast(MeasuredPoint, at), cast(Runner, runner))


@pytest.mark.slow
def test_a_trial_that_is_done_by_hand_has_those_before_it_done_and_the_model_takes_them_over(tmp_path: Path) -> None:
    made = planned(tmp_path / "out", search_batch=3)
    for name in ("search:topk:4", "accuracy:topk"):
        cell_part(planned(tmp_path / "out", search_batch=3), find_cell(name, cells_of(made))).run()
    done = {path.parent.name for path in (tmp_path / "out" / "cells").glob("*/*.done")}
    assert done == {*(f"search-topk-{trial}" for trial in range(5)), "accuracy-topk"}  # 5 is measured with the model
    whole = planned(tmp_path / "whole", search_batch=3)
    run_bench(whole)
    expected = {id_: line for id_, line in recorded(whole.folder).items() if line["method"]["name"] == "topk"}
    assert recorded(tmp_path / "out" / "cells" / "accuracy-topk") == expected


def attacks(folder: Path) -> dict[str, Any]:
    """What attacks came to, by key."""
    lines = [json.loads(line) for line in (folder / "robustness.jsonl").read_text().splitlines()]
    return {line["key"]: line["result"] for line in lines}


@pytest.mark.slow
def test_a_launched_search_has_the_records_and_the_study_of_one_in_a_process(tmp_path: Path) -> None:
    options: dict[str, Any] = {"methods": "dense,topk", "epochs": 1, "points": 3, "limit": 20, "calibration": 40}
    options |= {"sampler": "tpe", "trials": 5, "search_batch": 3}
    options |= {"robustness": "fgsm", "eps": "8/255", "robustness_limit": 20, "masking_checks": False}
    bench(tmp_path / "one", **options, storage=f"journal:{tmp_path / 'one.log'}")
    stored = f"sqlite:///{tmp_path / 'studies.db'}"
    made = plan_bench(None, {**options, "output": str(tmp_path / "many"), "storage": stored})
    words = command_words(None, {**options, "output": str(made.folder), "storage": stored})
    launched = launch_bench(made, words, Engine("local:2"))
    assert launched.fault() is None
    assert recorded(tmp_path / "many") == recorded(tmp_path / "one")
    assert attacks(tmp_path / "many") == attacks(tmp_path / "one")
    [name] = optuna.get_all_study_names(stored)
    backend = optuna.storages.journal.JournalFileBackend(str(tmp_path / "one.log"))
    studies = [
        optuna.load_study(study_name=name, storage=storage)
        for storage in (stored, optuna.storages.JournalStorage(backend))
    ]
    first, second = ([(trial.params, trial.values) for trial in study.trials] for study in studies)
    assert first == second
    assert len(first) == 5
    assert studies[0].metric_names == ["top1_pct", "gmacs", "robustness"]
    measured = sum(
        len((folder / "runs.jsonl").read_text().splitlines()) for folder in (made.folder / "cells").glob("search-*-*/")
    )
    assert measured == len({str(params) for params, _ in first})
    # The same by one process, in the folder of the many: nothing is measured, and the study is as it was.
    before = (made.folder / "runs.jsonl").read_bytes()
    run_bench(made)
    assert (made.folder / "runs.jsonl").read_bytes() == before
    assert len(optuna.load_study(study_name=name, storage=stored).trials) == 5
