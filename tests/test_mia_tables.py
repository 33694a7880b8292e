"""MIA-Former's tables: what is trained for each row, and one command that makes a table once."""

from __future__ import annotations

import dataclasses
import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from dynvit.errors import InputError
from dynvit_methods.mia import MIAFormer
from dynvit_methods.mia.recipes import RECIPES

pytestmark = pytest.mark.slow

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def script() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        yield importlib.import_module("mia_tables")


def test_rows_differ_in_dimensions_or_in_inheritance_alone(script: ModuleType) -> None:
    shared = {"dataset": "digits", "backbone": "vit_digits", "epochs": 1}
    second, third = script.plan("dimensions", (0.85,), **shared), script.plan("inheritance", (0.74, 0.85), **shared)
    assert [planned.request.method for planned in second] == ["dense"] + 7 * ["mia"]
    assert len({str(planned.request.options) for planned in second}) == 8
    assert len({planned.folder for planned in third}) == 8
    for planned in (*second[1:], *third):
        assert planned.request.model_dump(exclude={"options", "target"}) == third[0].request.model_dump(
            exclude={"options", "target"}
        )
    assert [planned.paper.top1_pct for planned in third] == [79.2, 79.9, 79.9, 79.9, 78.3, 79.6, 79.6, 79.5]
    with pytest.raises(InputError, match="one --target"):
        script.plan("dimensions", (0.7, 0.85), **shared)


def test_one_command_makes_a_table_and_the_next_trains_nothing(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    short = dataclasses.replace(RECIPES["digits"], batch_size=16, keep_epochs=1)
    monkeypatch.setattr(MIAFormer, "recipes", {"digits": short})
    words = {"dataset": "digits", "epochs": 1, "limit_train": 32, "limit": 20, "target": [0.8], "output": tmp_path}
    words |= {"attacked": 10}
    script.tables("inheritance", **words)
    first = (tmp_path / "inheritance.json").read_bytes()
    body = json.loads(first)
    assert [row["name"] for row in body["rows"]] == ["0.5", "0.75", "1.0", "pretrain"]
    for row in body["rows"]:
        assert row["top1_pct"] * 20 / 100 == pytest.approx(round(row["top1_pct"] * 20 / 100), abs=1e-6)
        assert row["gmacs"] == pytest.approx(row["target_gmacs"], rel=0.1)  # of 20 images
        assert row["robust_pct"] % 10 == 0
    assert body["attacked_images"] == 10
    written = {f: f.stat().st_mtime_ns for f in tmp_path.glob("*/model.safetensors")}
    assert len(written) == 4
    script.tables("inheritance", **words)
    assert {f: f.stat().st_mtime_ns for f in written} == written
    assert (tmp_path / "inheritance.json").read_bytes() == first
    assert "MIA-Former on digits" in capsys.readouterr().out
