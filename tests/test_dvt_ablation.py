"""The ablation's command: four trainings that differ in reuse alone, each made once, and one table of them."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from data_helpers import hashes

from dynvit.errors import InputError

pytestmark = pytest.mark.slow

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def script() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        yield importlib.import_module("dvt_ablation")


def test_the_four_trainings_differ_in_the_reuses_alone(script: ModuleType) -> None:
    asked = script.requests("digits", "vit_digits", epochs=1)
    plain = [request.model_dump(exclude={"options"}) for request in asked.values()]
    assert all(request == plain[0] for request in plain)
    flags = [(r.options["feature_reuse"], r.options["relation_reuse"]) for r in asked.values()]
    assert sorted(flags) == [("full", "full"), ("full", "off"), ("off", "full"), ("off", "off")]
    assert set(asked) == set(script.PAPER_TOP1) == set(script.PAPER_GFLOPS)


def test_one_command_makes_four_rows_and_a_second_run_trains_nothing(
    script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = tmp_path / "result.json"
    words = {"dataset": "digits", "epochs": 1, "limit_train": 64, "limit": 40, "output": tmp_path, "result": result}
    script.ablate(**words, seed=0, workers=0, mixed_precision="no", image_size=None, backbone="deit_tiny_patch16_224")
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
    script.ablate(**words, seed=0, workers=0, mixed_precision="no", image_size=None, backbone="deit_tiny_patch16_224")
    assert {name: sha for name, sha in hashes(tmp_path).items() if "state" not in name} == weights
    assert "80.00" in capsys.readouterr().out
    with pytest.raises(InputError, match="limit_train"):
        script.ablate(**{**words, "limit_train": 32})


def test_a_result_that_is_a_folder_is_refused_before_anything_is_trained(script: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--result"):
        script.ablate(dataset="digits", output=tmp_path / "out", result=tmp_path)
    assert not (tmp_path / "out").exists()
