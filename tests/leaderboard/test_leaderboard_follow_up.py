"""What is measured of a record later finds its record, is never asked twice, and survives kills as records do."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from dynvit.cli import main
from dynvit.environment import capture
from dynvit.leaderboard.follow_up import (
    RobustnessFollowUp,
    RobustnessStore,
    SpeedFollowUp,
    SpeedStore,
    follow_up_key,
    read_run,
)
from dynvit.leaderboard.record import RobustnessRecord, SpeedRecord
from dynvit.leaderboard.store import RunStore


def made(record_id: str, question: dict[str, Any]) -> dict[str, Any]:
    return {
        "record_id": record_id,
        "key": follow_up_key(record_id, question),
        "question": question,
        "environment": capture(),
        "command": "dynvit bench",
        "git_sha": None,
        "date_utc": datetime(2026, 11, 21, tzinfo=UTC),
        "wall_s": 1.0,
    }


def attacked(record_id: str, eps: float = 0.01, accuracy: float = 10.0) -> RobustnessFollowUp:
    answer = RobustnessRecord(
        threat="linf",
        norm="linf",
        eps=eps,
        attack="pgd",
        settings={"steps": 10},
        adaptive=True,
        n=50,
        accuracy_pct=accuracy,
        gmacs_mean_under_attack=0.8,
    )
    return RobustnessFollowUp(measured=answer, **made(record_id, {"attack": "pgd", "eps": eps, "steps": 10}))


def timed(record_id: str, batch: int) -> SpeedFollowUp:
    answer = SpeedRecord(
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
    return SpeedFollowUp(measured=answer, **made(record_id, {"device": "cpu", "batch_size": batch}))


@pytest.fixture
def folder(tmp_path: Path, measure) -> Path:
    one, two = measure(gmacs=0.4), measure(gmacs=0.5)
    with RunStore(tmp_path / "runs.jsonl") as runs:
        runs.append(one)
        runs.append(two)
    with RobustnessStore(tmp_path / "robustness.jsonl") as attacks:
        for line in (attacked(one.record_id), attacked(two.record_id, 0.02), attacked(one.record_id, 0.02)):
            attacks.append(line)
        attacks.append(attacked("0" * 16))
    with SpeedStore(tmp_path / "speed.jsonl") as timings:
        timings.append(timed(two.record_id, 8))
    return tmp_path


def test_attachments_join_the_record_that_they_name(folder: Path) -> None:
    one, two = read_run(folder / "runs.jsonl")
    assert [attack.eps for attack in one.robustness] == [0.01, 0.02]
    assert [attack.eps for attack in two.robustness] == [0.02]
    assert (one.speed, [timing.batch_size for timing in two.speed]) == ((), [8])


def test_records_without_attachments_are_as_they_were(tmp_path: Path, measure) -> None:
    with RunStore(tmp_path / "runs.jsonl") as runs:
        runs.append(measure())
    assert read_run(tmp_path / "runs.jsonl") == [measure()]


def test_the_same_question_again_replaces_the_answer(folder: Path) -> None:
    one = read_run(folder / "runs.jsonl")[0]
    store = RobustnessStore(folder / "robustness.jsonl")
    store.append(attacked(one.record_id, accuracy=5.0))
    found = store.find(follow_up_key(one.record_id, {"steps": 10.0, "eps": 0.01, "attack": "pgd"}))
    assert found is not None
    assert found.measured.accuracy_pct == 5.0
    assert len(store.read()) == 4


def test_a_torn_attachment_costs_itself_only(folder: Path) -> None:
    file = folder / "robustness.jsonl"
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.warns(UserWarning, match=r"robustness\.jsonl: dropped a torn last line"):
        assert len(RobustnessStore(file).read()) == 3


def test_a_key_that_is_not_the_questions_is_refused() -> None:
    fields = attacked("0" * 16).model_dump() | {"question": {"attack": "pgd", "eps": 0.5}}
    with pytest.raises(ValidationError, match="edited by hand"):
        RobustnessFollowUp.model_validate(fields)


def test_validate_reads_every_file_of_a_bench(folder: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["validate", str(folder)]) == 0
    said = capsys.readouterr().out
    assert "4 attacks" in said
    assert "1 timings" in said
    (folder / "speed.jsonl").write_text("{}\n")
    assert main(["validate", str(folder)]) == 2
    assert "speed.jsonl line 1" in " ".join(capsys.readouterr().err.split())
