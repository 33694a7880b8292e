"""``bench --speed`` and ``dynvit speed``, end to end on real scans of digits. What is fast is no test's business."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from bench_helpers import bench, every_round_valid, recorded

from dynvit.cli import main
from dynvit.leaderboard.follow_up import FollowUp
from dynvit.measurements.speed import interleaved
from dynvit.measurements.speed.measurement import Speed
from dynvit.measurements.speed.result import SpeedResult
from dynvit.measurements.speed.speed_test import SpeedTest
from dynvit.report import read_board

pytestmark = pytest.mark.slow

SPED: dict[str, Any] = {
    "methods": ("dense", "topk", "dvt"),
    "epochs": 1,
    "points": 3,
    "speed": True,
    "speed_batches": (1, 8),
    "speed_rounds": 1,
    "speed_points": 2,
}


def lines_of(folder: Path) -> list[FollowUp[SpeedResult]]:
    return Speed.read(folder)


@pytest.fixture(autouse=True, scope="module")
def any_load() -> Any:
    with every_round_valid():
        yield


@pytest.fixture(scope="module")
def timed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a bench that was run without timings first, and then with."""
    folder = tmp_path_factory.mktemp("speed") / "out"
    before = bench(folder, **SPED | {"speed": False})
    assert not (folder / "speed.jsonl").exists()
    assert bench(folder, **SPED) == before
    return folder


def test_a_few_points_of_each_method_are_timed_beside_dense(timed: Path) -> None:
    lines = lines_of(timed)
    asked = {(line.record_id, line.result.batch_size) for line in lines}
    assert len(asked) == len(lines) == (1 + 2 + 2) * 2
    assert {line.record_id for line in lines} <= recorded(timed).keys()
    for line in lines:
        found = line.result
        assert (found.dtype, found.execution_mode, found.dense_execution_mode) == ("float32", "predict", "dense")
        assert (found.images, found.different_images) == (32, 32)
        assert found.memory_by == "live tensors"
        assert found.energy_mj_per_image is None
        assert (found.latency_p99_ms is None) == (found.batches_timed < 100)  # type: ignore[operator]


def test_the_theoretical_speed_up_is_of_the_very_images_that_were_timed(timed: Path) -> None:
    board = read_board(timed / "leaderboard.json")
    summaries = Speed.of(board)
    for entry in board.entries:
        for curve in summaries[entry.record_id].curves if entry.record_id in summaries else ():
            [theory] = {timing.speedup_theoretical for timing in curve.sizes}  # the same 32 images at either batch size
            if entry.method != "dvt":  # every image costs alike, so these images cost what all do
                assert theory == pytest.approx(board.setting.dense_gmacs / entry.gmacs_mean)
    assert len(summaries) == 5


def test_table_and_picture_are_published_with_the_front(timed: Path, capsys: pytest.CaptureFixture) -> None:
    assert (timed / "speed.png").read_bytes()[:4] == b"\x89PNG"
    assert len((timed / "speed.csv").read_text().splitlines()) == 11
    assert main(["show", str(timed)]) == 0
    assert "speed at batch 8" in capsys.readouterr().out
    assert main(["validate", str(timed)]) == 0


def test_the_same_again_times_nothing_and_another_batch_only_itself(timed: Path, monkeypatch) -> None:
    before = (timed / "speed.jsonl").read_bytes()
    sizes: list[int] = []
    measure = SpeedTest._measure

    def watched(self: SpeedTest, asked: int, size: int, settings: Any) -> Any:
        sizes.append(size)
        return measure(self, asked, size, settings)

    monkeypatch.setattr(SpeedTest, "_measure", watched)
    bench(timed, **SPED)
    assert (timed / "speed.jsonl").read_bytes() == before
    assert sizes == []
    bench(timed, **SPED | {"speed_batches": (1, 2, 8)})
    assert sizes == [2] * 5
    assert (timed / "speed.jsonl").read_bytes().startswith(before)


def test_a_line_of_too_few_valid_rounds_is_timed_again_and_the_better_stands(timed: Path, monkeypatch) -> None:
    more = SPED | {"speed_batches": (1,)}
    before = [line for line in lines_of(timed) if line.result.batch_size == 1]
    bench(timed, **more | {"speed_rounds": 2})
    after = [line for line in lines_of(timed) if line.result.batch_size == 1]
    assert [line.key for line in after] == [line.key for line in before]
    assert {line.result.rounds_valid for line in after} == {2}
    monkeypatch.setattr(interleaved, "VALID_WITHIN", 0.0)
    with pytest.warns(UserWarning, match="none of 12 rounds was valid"):
        bench(timed, **more | {"speed_rounds": 3})
    assert [line for line in lines_of(timed) if line.result.batch_size == 1] == after


def test_a_run_that_ends_early_keeps_what_was_timed(timed: Path, monkeypatch) -> None:
    before = lines_of(timed)
    measure = SpeedTest._measure

    def killed(self: SpeedTest, asked: int, size: int, settings: Any) -> Any:
        if asked == 16:
            raise KeyboardInterrupt
        return measure(self, asked, size, settings)

    monkeypatch.setattr(SpeedTest, "_measure", killed)
    with pytest.raises(KeyboardInterrupt):
        bench(timed, **SPED | {"speed_batches": (4, 16)})
    after = lines_of(timed)
    assert [line.result.batch_size for line in after[len(before) :]] == [4]


def test_one_method_is_timed_and_written_as_lines(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    file = tmp_path / "speed.jsonl"
    small = ["--speed-batches", "1,4", "--speed-rounds", "1", "--output", str(file)]
    assert main(["speed", "--method", "topk", "--knob", "keep_ratio=0.5", *small, "--speed-dtype", "bf16"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "topk keep_ratio=0.5 on vit_digits" in said
    assert said.count("against dense") == 1
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["result"]["batch_size"] for line in lines] == [1, 4]
    assert {line["result"]["dtype"] for line in lines} == {"bf16"}
    assert len({line["record_id"] for line in lines}) == 1
    assert main(["validate", str(file)]) == 0
    assert "2 speed measurements, all valid" in capsys.readouterr().out
    assert main(["speed", "--method", "topk", "--points", "2", *small]) == 0
    assert len(file.read_text().splitlines()) == 2 + 4


def test_a_checkpoint_brings_its_dataset_and_backbone(
    timed: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    file = tmp_path / "lines.jsonl"
    given = ["--checkpoint", str(timed / "train" / "dvt"), "--points", "1", "--speed-batches", "2"]
    assert main(["speed", *given, "--speed-rounds", "1", "-o", str(file)]) == 0
    [line] = map(json.loads, file.read_text().splitlines())
    assert line["result"]["speedup_theoretical"] > 0
    said = " ".join(capsys.readouterr().out.split())
    assert "on vit_digits · digits validation" in said


def test_several_processes_are_refused_before_anything_is_done(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main(["bench", "--speed", "-o", str(tmp_path / "out")]) == 2
    assert "speed is measured by one process, and 2 were started" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
