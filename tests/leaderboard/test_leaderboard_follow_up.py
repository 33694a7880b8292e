"""What is measured of a record later finds its record, is never measured twice, and survives kills as records do."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from rich.console import Console

from dynvit.cli import main
from dynvit.environment import capture
from dynvit.leaderboard.follow_up import FollowUp, follow_up_key
from dynvit.leaderboard.lines import LineStore
from dynvit.leaderboard.store import RunStore
from dynvit.measurements.base import measurements
from dynvit.measurements.robustness.result import RobustnessResult
from dynvit.measurements.speed.result import SpeedResult
from dynvit.report import build_board, print_board, read_board, read_run

Attack, Timing = FollowUp[RobustnessResult], FollowUp[SpeedResult]


def made(record_id: str, config: dict[str, Any]) -> dict[str, Any]:
    return {
        "record_id": record_id,
        "key": follow_up_key(record_id, config),
        "config": config,
        "environment": capture(),
        "command": "dynvit bench",
        "git_sha": None,
        "date_utc": datetime(2026, 11, 21, tzinfo=UTC),
        "wall_s": 1.0,
    }


def attacked(record_id: str, eps: float = 0.01, accuracy: float = 10.0) -> FollowUp[RobustnessResult]:
    result = RobustnessResult(
        threat="linf",
        norm="linf",
        eps=eps,
        attack="pgd",
        settings={"steps": 10},
        adaptive=True,
        n=50,
        accuracy_pct=accuracy,
        gmacs_mean=0.8,
    )
    return Attack(result=result, **made(record_id, {"attack": "pgd", "eps": eps, "steps": 10}))


def timed(record_id: str, batch: int) -> FollowUp[SpeedResult]:
    result = SpeedResult(
        device="cpu",
        dtype="float32",
        batch_size=batch,
        threads=1,
        execution_mode="gathered",
        latency_p50_ms=1.0,
        latency_p95_ms=2.0,
        images_per_s=900.0,
        peak_memory_mb=None,
    )
    return Timing(result=result, **made(record_id, {"device": "cpu", "batch_size": batch}))


def skipped(record_id: str, why: str) -> FollowUp[SpeedResult]:
    return Timing(result=None, skipped=why, **made(record_id, {"measurement": "speed", "skipped": why}))


def store(folder: Path, measurement: str) -> LineStore[FollowUp[Any]]:
    return measurements.get(measurement).store(folder)


@pytest.fixture
def folder(tmp_path: Path, measure) -> Path:
    one, two = measure(gmacs=0.4), measure(gmacs=0.5)
    with RunStore(tmp_path / "runs.jsonl") as runs:
        runs.append(one)
        runs.append(two)
    with store(tmp_path, "robustness") as attacks:
        for line in (attacked(one.record_id), attacked(two.record_id, 0.02), attacked(one.record_id, 0.02)):
            attacks.append(line)
        attacks.append(attacked("0" * 16))
    with store(tmp_path, "speed") as timings:
        timings.append(timed(two.record_id, 8))
    return tmp_path


@pytest.mark.parametrize("name", ["", "runs.jsonl"])
def test_results_join_the_record_that_they_name(folder: Path, name: str) -> None:
    run = read_run(folder / name)
    one, two = (record.record_id for record in run.records)
    assert [attack.eps for attack in run.results["robustness"][one]] == [0.01, 0.02]
    assert [attack.eps for attack in run.results["robustness"][two]] == [0.02]
    assert one not in run.results["speed"]
    assert [timing.batch_size for timing in run.results["speed"][two]] == [8]
    first, second = build_board(run).entries
    assert (first.record_id, first.measurements.keys()) == (one, {"robustness"})
    assert (second.record_id, second.measurements.keys()) == (two, {"robustness", "speed"})


def test_records_without_follow_up_measurements_are_as_they_were(tmp_path: Path, measure) -> None:
    with RunStore(tmp_path / "runs.jsonl") as runs:
        runs.append(measure())
    run = read_run(tmp_path / "runs.jsonl")
    assert run.records == [measure()]
    assert not any(run.results.values())
    assert [entry.measurements for entry in build_board(run).entries] == [{}]


def test_the_same_configuration_again_replaces_the_result(folder: Path) -> None:
    one = read_run(folder / "runs.jsonl").records[0]
    attacks = store(folder, "robustness")
    attacks.append(attacked(one.record_id, accuracy=5.0))
    found = attacks.find(follow_up_key(one.record_id, {"steps": 10.0, "eps": 0.01, "attack": "pgd"}))
    assert found is not None
    assert found.result.accuracy_pct == 5.0
    assert len(attacks.read()) == 4


def test_a_torn_line_costs_itself_only(folder: Path) -> None:
    file = folder / "robustness.jsonl"
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.warns(UserWarning, match=r"robustness\.jsonl: dropped a torn last line"):
        assert len(store(folder, "robustness").read()) == 3


def test_a_key_that_is_not_the_configurations_is_refused() -> None:
    fields = attacked("0" * 16).model_dump() | {"config": {"attack": "pgd", "eps": 0.5}}
    with pytest.raises(ValidationError, match="edited by hand"):
        Attack.model_validate(fields)


@pytest.mark.parametrize("both", [{"skipped": "no need"}, {"result": None}], ids=["both", "neither"])
def test_a_line_has_a_result_or_says_why_not(both: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="either result or skipped"):
        Attack.model_validate(attacked("0" * 16).model_dump() | both)


def test_what_was_skipped_stands_in_the_entry_and_is_printed(folder: Path) -> None:
    one, two = (record.record_id for record in read_run(folder).records)
    with store(folder, "speed") as timings:
        timings.append(skipped(one, "it does not support compute proxy"))
    board = build_board(read_run(folder))
    assert {entry.record_id: entry.skipped for entry in board.entries} == {
        one: {"speed": "it does not support compute proxy"},
        two: {},
    }
    board.write(folder / "leaderboard.json")
    console = Console(width=140, file=io.StringIO(), record=True)
    print_board(read_board(folder / "leaderboard.json"), console)
    [line] = [line for line in console.export_text().splitlines() if "was skipped" in line]
    assert "speed was skipped for topk" in line
    assert line.endswith(": it does not support compute proxy")


def test_what_was_skipped_once_and_measured_later_is_measured(folder: Path) -> None:
    two = read_run(folder).records[1].record_id
    with store(folder, "speed") as timings:
        timings.append(skipped(two, "it did not support it then"))
    run = read_run(folder)
    assert run.skipped["speed"] == {}
    assert [timing.batch_size for timing in run.results["speed"][two]] == [8]


def test_validate_reads_every_file_of_a_bench(folder: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["validate", str(folder)]) == 2  # one of the attacks is on a record that is not there
    said = capsys.readouterr().out
    assert "robustness.jsonl line 4: record_id must name a record of runs.jsonl" in said
    assert "2 records, all valid" in said
    robustness = folder / "robustness.jsonl"
    robustness.write_bytes(b"".join(robustness.read_bytes().splitlines(keepends=True)[:3]))
    assert main(["validate", str(folder)]) == 0
    said = capsys.readouterr().out
    assert "3 robustness measurements, all valid" in said
    assert "1 speed measurements, all valid" in said
    (folder / "speed.jsonl").write_text("{}\n")
    assert main(["validate", str(folder)]) == 2
    assert "speed.jsonl line 1" in " ".join(capsys.readouterr().err.split())
