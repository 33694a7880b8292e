"""Ids and keys that were published stay what they were: the same measurement keeps its name for ever.

``frozen_v1`` is what ``dynvit bench -C suite.yaml`` wrote at 28496b1, on the inputs of ``frozen_inputs``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from bench_helpers import every_round_valid, run_bench
from frozen_inputs import FROZEN, make_inputs

from dynvit.leaderboard.follow_up import follow_up_key
from dynvit.leaderboard.record import Record
from dynvit.measurements.robustness.measurement import Robustness
from dynvit.report import build_board, read_board, read_run

pytestmark = pytest.mark.slow


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
    with every_round_valid():
        run_bench(None, {**suite, "output": str(folder / "out")})
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


@pytest.mark.parametrize("files", [("robustness.jsonl", "corruption.jsonl"), ("speed.jsonl",)])
def test_follow_up_measurements_keep_their_keys(again: Path, files: tuple[str, ...]) -> None:
    ids = [{r["record_id"]: named(r) for r in lines(folder / "runs.jsonl")} for folder in (FROZEN, again)]
    asked = []
    for folder, names in zip((FROZEN, again), ids, strict=True):
        found = set()
        for line in (line for file in files if (folder / file).exists() for line in lines(folder / file)):
            config = line["question" if folder == FROZEN else "config"]
            assert line["key"] == follow_up_key(line["record_id"], config)
            config.pop("device", None)  # the machine's
            if config.get("restart"):
                continue  # what rows with fewer forms get since; every first attempt is the one that it was
            config = {name: value for name, value in config.items() if value is not None}
            if config.get("source") in names:
                config["source"] = names[config["source"]]
            found.add((names[line["record_id"]], json.dumps(config, sort_keys=True)))
        asked.append(found)
    assert asked[0] == asked[1]


def as_then(board: dict[str, Any]) -> dict[str, Any]:
    """A board without what is told since: seeds of backbones, the attacks that rows met, and fronts by these."""
    for entry in board["entries"]:
        entry.pop("training_seed", None)
        for ball in entry["measurements"].get("robustness", {}).get("accuracy", ()):
            ball.pop("met", None)
    del board["measurements"]["robustness"]["fronts"]
    return board


def test_a_folder_of_version_1_gives_the_board_that_it_gave() -> None:
    then = json.loads((FROZEN / "leaderboard.json").read_text())
    converted = read_board(FROZEN / "leaderboard.json")
    built = build_board(read_run(FROZEN), command=then["generated"]["command"])
    of_today = built.model_dump(mode="json")
    assert {method.pop("bootstrap", None) is None for method in of_today["methods"]} == {True, False}  # dense has none
    [note] = [note for note in Robustness.notes(built) if "other attacks" in note]
    assert "cannot be compared" in note, "rows met other attacks then, and nothing said so"
    assert as_then(of_today) == pytest_approx(as_then(converted.model_dump(mode="json")))
    assert [entry.record_id for entry in built.entries] == [entry["record_id"] for entry in then["entries"]]
    for entry, old in zip(built.entries, then["entries"], strict=True):
        assert {name: value for name, value in old.items() if value == getattr(entry, name, ...)}.keys() >= {
            *("record_id", "method", "knobs", "target_gmacs", "gmacs_mean", "saving_pct", "top1_pct", "top5_pct"),
            *("baseline", "on_method_front", "on_front"),
        }


def test_every_line_of_version_1_is_read() -> None:
    assert {name: sum(map(len, found.values())) for name, found in read_run(FROZEN).results.items()} == {
        "corruption": 28,
        "robustness": 88,
        "speed": 14,
    }


def pytest_approx(body: Any) -> Any:
    """Numbers as near as another version of scipy leaves them; all else as it is."""
    if isinstance(body, dict):
        return {name: pytest_approx(value) for name, value in body.items()}
    if isinstance(body, list):
        return [pytest_approx(value) for value in body]
    return pytest.approx(body, rel=1e-9) if isinstance(body, float) else body
