"""Ids and keys that were published stay what they were: the same measurement keeps its name for ever.

``frozen_v1`` is what ``dynvit bench -C suite.yaml`` wrote at 28496b1, on the inputs of ``frozen_inputs``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from bench_helpers import run_bench
from frozen_inputs import FROZEN, make_inputs

from dynvit.leaderboard.follow_up import follow_up_key
from dynvit.leaderboard.record import Record


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


@pytest.fixture(scope="module")
def again(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The frozen bench, run by today's code."""
    folder = tmp_path_factory.mktemp("frozen")
    make_inputs(folder)
    suite = yaml.safe_load((FROZEN / "suite.yaml").read_text())
    suite["weights"] = str(folder / "weights.safetensors")
    suite["method_checkpoint"] = {"dvt": [str(folder / "dvt")]}
    run_bench(None, {**suite, "output": str(folder / "out")}, fresh=False, dry_run=False)
    return folder / "out"


def named(record: dict[str, Any]) -> tuple[str, str]:
    """A record by what was measured; a cascade's thresholds are solved, and may differ in the last bits."""
    solved = record["method"]["name"] == "dvt"
    return record["method"]["name"], str(record["point"]["target_gmacs" if solved else "knobs"])


def test_records_keep_their_ids(again: Path) -> None:
    then, now = ({named(r): r for r in lines(folder / "runs.jsonl")} for folder in (FROZEN, again))
    assert then.keys() == now.keys()
    for name, record in then.items():
        assert now[name]["record_id"] == record["record_id"] or name[0] == "dvt"
        assert Record.model_validate_json(json.dumps(now[name])).record_id == now[name]["record_id"]


@pytest.mark.parametrize("file", ["robustness.jsonl", "speed.jsonl"])
def test_what_is_measured_later_keeps_its_keys(again: Path, file: str) -> None:
    ids = [{r["record_id"]: named(r) for r in lines(folder / "runs.jsonl")} for folder in (FROZEN, again)]
    asked = []
    for folder, names in zip((FROZEN, again), ids, strict=True):
        found = set()
        for line in lines(folder / file):
            question = line["question"]
            assert line["key"] == follow_up_key(line["record_id"], question)
            question.pop("device", None)  # the machine's
            if question.get("source") in names:
                question["source"] = names[question["source"]]
            found.add((names[line["record_id"]], json.dumps(question, sort_keys=True)))
        asked.append(found)
    assert asked[0] == asked[1]
