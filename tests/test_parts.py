"""A bench in parts: each part does its own, and together they have the records of the undivided run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from bench_helpers import SMALL, bench, recorded
from hypothesis import given
from hypothesis import strategies as st

from dynvit.api.benching import plan_bench
from dynvit.benchmark.cells import BenchShare, cells_of, find_cell
from dynvit.benchmark.parts import cell_part, share_of
from dynvit.benchmark.run import Bench
from dynvit.errors import InputError
from dynvit.report.merging import merge

ATTACKED: dict[str, Any] = {
    **SMALL,
    "epochs": 1,
    "robustness": "fgsm",
    "eps": "8/255",
    "robustness_limit": 20,
    "robustness_points": 2,
    "masking_checks": False,
}


def planned(folder: Path, **options: Any) -> Bench:
    return plan_bench(None, {**ATTACKED, "output": str(folder), **options})


def attacks(folder: Path) -> dict[str, Any]:
    """Lines of attacks by key, without when, where and how long."""
    lines = [json.loads(line) for line in (folder / "robustness.jsonl").read_text().splitlines()]
    kept = ("record_id", "config", "result", "skipped")
    return {line["key"]: {name: line.get(name) for name in kept} for line in lines}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the undivided run."""
    folder = tmp_path_factory.mktemp("whole") / "out"
    bench(folder, **{name: value for name, value in ATTACKED.items() if name not in SMALL or name == "epochs"})
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2, 7])
def test_shares_come_to_the_undivided_run(whole: Path, tmp_path: Path, count: int) -> None:
    out = tmp_path / "out"
    parts = [share_of(planned(out), BenchShare(number, count)) for number in range(1, count + 1)]
    for part in reversed(parts):  # the order is nobody's business
        part.run()
    merge([part.folder for part in parts], tmp_path / "merged")
    assert recorded(tmp_path / "merged") == recorded(whole)
    assert attacks(tmp_path / "merged") == attacks(whole)
    assert len({path.name for path in (out / "train").iterdir()}) == 2  # each training once, for all


@pytest.mark.slow
def test_cells_come_to_the_undivided_run_and_measure_each_thing_once(whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    cells = cells_of(planned(out))
    done: set[str] = set()
    for cell in cells:
        assert set(cell.needs) <= done
        cell_part(planned(out), cell).run()
        done.add(cell.name)
    folders = [out / "cells" / cell.folder for cell in cells if cell.measures]
    merge(folders, out)
    assert recorded(out) == recorded(whole)
    assert attacks(out) == attacks(whole)
    measured = [id_ for cell in cells if cell.kind == "accuracy" for id_ in recorded(out / "cells" / cell.folder)]
    assert sorted(measured) == sorted(recorded(whole))


def test_a_cell_needs_what_it_is_made_of(tmp_path: Path) -> None:
    needs = {cell.name: cell.needs for cell in cells_of(planned(tmp_path / "out"))}
    assert needs["train:dynamicvit"] == ("train:dense",)
    assert needs["budgets"] == ("train:dense", "train:dynamicvit")
    assert needs["accuracy:topk"] == ("budgets",)
    assert needs["robustness:topk"] == ("accuracy:topk", "accuracy:dense")
    named = {cell.name: cell.needs for cell in cells_of(planned(tmp_path / "out", budgets=(0.001,)))}
    assert "budgets" not in named
    assert named["accuracy:dynamicvit"] == ("train:dynamicvit",)
    assert named["accuracy:topk"] == ("train:dense",)


def test_a_cell_that_there_is_not_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown cell 'accuracy:topkk': did you mean 'accuracy:topk'"):
        find_cell("accuracy:topkk", cells_of(planned(tmp_path / "out")))


@given(labels=st.sets(st.text(min_size=1)), count=st.integers(1, 9), data=st.data())
def test_shares_are_all_of_it_and_of_one_size_in_any_order(labels: set[str], count: int, data: st.DataObject) -> None:
    order = data.draw(st.permutations(sorted(labels)))
    parts = [BenchShare(number, count).of(order) for number in range(1, count + 1)]
    assert sorted(label for part in parts for label in part) == sorted(labels)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert parts == [BenchShare(number, count).of(sorted(labels)) for number in range(1, count + 1)]


@pytest.mark.parametrize("text", ["", "1", "0/2", "3/2", "1/0", "-1/2", "1/2/3", "a/b", "1.0/2", "²/3"])
def test_a_share_is_one_of_n(text: str) -> None:
    with pytest.raises(InputError, match="I/N"):
        BenchShare.read(text)
