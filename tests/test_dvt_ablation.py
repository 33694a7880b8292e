"""DVT's tables again: trainings that differ in reuse alone, each made once; one cascade by several criteria."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from data_helpers import hashes

from dynvit.errors import InputError
from dynvit.options import options_from_json
from dynvit_methods.dvt.options import DVTOptions

pytestmark = pytest.mark.slow

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


WORDS: dict[str, Any] = {"seed": 0, "workers": 0, "mixed_precision": "no", "image_size": None, "weights": None}
WORDS |= {"backbone": "deit_tiny_patch16_224", "dataset": "digits", "epochs": 1, "limit_train": 64, "limit": 40}


@pytest.fixture(scope="module")
def scripts() -> Iterator[Callable[[str], ModuleType]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        yield importlib.import_module


@pytest.fixture(scope="module")
def script(scripts: Callable[[str], ModuleType]) -> ModuleType:
    return scripts("dvt_ablation")


@pytest.mark.parametrize(("table", "exits"), [("reuse", 3), ("features", 2), ("relations", 2)])
def test_the_trainings_of_a_table_differ_in_the_reuses_alone(script: ModuleType, table: str, exits: int) -> None:
    which = script.TABLES[table]
    asked = script.requests(which, "digits", "vit_digits", epochs=1)
    plain = [request.model_dump(exclude={"options"}) for request in asked.values()]
    assert all(request == plain[0] for request in plain)
    options = [parse_options_of(request.options) for request in asked.values()]
    assert len(set(options)) == len(options) == len(which.rows)
    shared = [replace(one, feature_reuse="off", relation_reuse="off") for one in options]
    assert all(one == shared[0] for one in shared)
    for one, row in zip(options, which.rows.values(), strict=True):
        assert len(one.grids_for(4)) == exits == len(row.top1_pct)


def parse_options_of(body: Mapping[str, Any]) -> DVTOptions:
    options = options_from_json(DVTOptions, body)
    assert isinstance(options, DVTOptions)
    return options


def test_one_command_makes_four_rows_and_a_second_run_trains_nothing(
    script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = tmp_path / "result.json"
    words = WORDS | {"output": tmp_path, "result": result}
    script.ablate(**words)
    weights, first = {name: sha for name, sha in hashes(tmp_path).items() if "state" not in name}, result.read_bytes()
    body = json.loads(first)
    assert [row["reuse"] for row in body["rows"]] == ["none", "features", "relations", "both"]
    assert body["validation_images"] == 40
    for row in body["rows"]:
        assert len(row["top1_pct"]) == len(row["gmacs"]) == 3
        assert all(value * 40 / 100 == pytest.approx(round(value * 40 / 100), abs=1e-6) for value in row["top1_pct"])
        assert row["gmacs"] == sorted(row["gmacs"])
        assert all(ours < theirs for ours, theirs in zip(row["gmacs"], row["gmacs_fvcore"], strict=True))
    last = {row["reuse"]: row["gmacs"][-1] for row in body["rows"]}
    assert last["none"] < min(last["features"], last["relations"]) < max(last.values()) == last["both"]
    script.ablate(**words)
    assert {name: sha for name, sha in hashes(tmp_path).items() if "state" not in name} == weights
    assert "80.00" in capsys.readouterr().out
    with pytest.raises(InputError, match="limit_train"):
        script.ablate(**{**words, "limit_train": 32})


def test_one_cascade_is_judged_by_each_criterion_at_the_same_budgets(
    script: ModuleType, scripts: Callable[[str], ModuleType], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script.ablate(**WORDS, table_of="relations", output=tmp_path, result=tmp_path / "relations.json")
    body = json.loads((tmp_path / "relations.json").read_text())
    assert [row["reuse"] for row in body["rows"]] == list(script.TABLES["relations"].rows)
    assert body["paper"]["source"].startswith("arXiv 2105.15075, Table 8")
    result = tmp_path / "criteria.json"
    scripts("dvt_criteria").main(tmp_path / "full", limit=40, result=result)
    body = json.loads(result.read_text())
    assert [row["name"] for row in body["rows"]] == ["random", "entropy", "confidence"]
    for row in body["rows"]:
        assert row["gmacs_by_budget"] == sorted(row["gmacs_by_budget"])
        assert len(row["top1_pct_by_budget"]) == len(body["budgets_gmacs"]) == 4
        assert row["top1_pct"] == row["top1_pct_by_budget"][1]
    assert "(78.89)" in capsys.readouterr().out


def test_a_result_that_is_a_folder_is_refused_before_anything_is_trained(script: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--result"):
        script.ablate(dataset="digits", output=tmp_path / "out", result=tmp_path)
    assert not (tmp_path / "out").exists()
