"""A bench under corruptions, end to end on digits; ready sets; records compared image by image."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench_helpers import SMALL, bench, records
from PIL import Image

from dynvit.api.benching import plan_bench
from dynvit.cli import main
from dynvit.data import open_split
from dynvit.data.corruptions import CORRUPTIONS, corrupt
from dynvit.errors import InputError
from dynvit.leaderboard.paired import difference_interval, mcnemar, paired
from dynvit.leaderboard.per_sample import PER_SAMPLE, read_per_sample
from dynvit.leaderboard.record import Record, record_id
from dynvit.leaderboard.spread import seed_spreads
from dynvit.measurements.corruption.measurement import Corruption
from dynvit.measurements.corruption.summary import ALEXNET_ERROR, mean_corruption_error, summary_of
from dynvit.measurements.run import Run
from dynvit.report import RunData, build_board, read_board, read_run

CORRUPTED: dict[str, Any] = {
    **SMALL,
    "methods": ("dense", "topk"),
    "epochs": 1,
    "points": 2,
    "corruptions": ("noise", "jpeg_compression"),
    "severities": (1, 5),
    "corruptions_limit": 20,
}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a bench under four corruptions at two severities."""
    folder = tmp_path_factory.mktemp("corrupted") / "out"
    bench(folder, **CORRUPTED)
    return folder


def lines(folder: Path) -> list[str]:
    return (folder / "corruption.jsonl").read_text().splitlines()


def test_every_point_is_measured_under_every_corruption_and_severity(done: Path) -> None:
    stored = Corruption.read(done)
    asked = {(line.record_id, line.result.corruption, line.result.severity) for line in stored}
    assert len(asked) == len(stored) == 3 * 4 * 2
    for line in stored:
        assert line.result.n == 20
        assert line.result.accuracy_ci95_low_pct <= line.result.accuracy_pct <= line.result.accuracy_ci95_high_pct
        # Neither method adapts to its image: no corruption may change what it costs.
        assert line.result.gmacs_mean == pytest.approx(line.result.clean_gmacs_mean)
    assert main(["validate", str(done)]) == 0


def test_the_board_says_what_corruptions_come_to(done: Path, capsys: pytest.CaptureFixture) -> None:
    board = read_board(done / "leaderboard.json")
    found = Corruption.of(board)
    assert found.keys() == {entry.record_id for entry in board.entries}
    for corruption in found.values():
        assert [row.name for row in corruption.corruptions] == [n for n in CORRUPTIONS if "noise" in n or "jpeg" in n]
        assert corruption.mce_pct is None  # no AlexNet was measured on digits
        assert corruption.gmacs_drift_pct == pytest.approx(0, abs=1e-9)
    assert main(["show", str(done)]) == 0
    assert "under corruptions" in capsys.readouterr().out


def test_what_is_measured_is_not_measured_again_and_a_lost_line_is(done: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = lines(done)
    (done / "corruption.jsonl").write_text("\n".join(before[:-2]) + "\n" + before[-2][:40])  # killed while writing
    with pytest.warns(UserWarning, match="torn"):
        bench(done, **CORRUPTED)
    fleeting = ("date_utc", "wall_s", "command", "environment", "sha256")
    stripped = [
        [{k: v for k, v in json.loads(line).items() if k not in fleeting} for line in f] for f in (before, lines(done))
    ]
    assert stripped[0] == stripped[1]

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr("dynvit.measurements.corruption.measure.evaluate", refuse)
    bench(done, **CORRUPTED)


def test_a_finished_bench_may_be_asked_for_more(done: Path) -> None:
    bench(done, **{**CORRUPTED, "corruptions": ("fog",), "severities": (3,)})
    assert len(lines(done)) == 3 * 4 * 2 + 3


def test_records_are_compared_image_by_image(done: Path, capsys: pytest.CaptureFixture) -> None:
    answers = read_per_sample(done / "runs.jsonl")
    for record in records(done):
        assert answers[record.record_id].bits().sum() == record.accuracy.n_correct
    dense, first, *_ = sorted(records(done), key=lambda record: record.method.name)
    entry = next(e for e in read_board(done / "leaderboard.json").entries if e.record_id == first.record_id)
    assert entry.against_dense is not None
    assert entry.against_dense.difference_points == pytest.approx(first.accuracy.top1_pct - dense.accuracy.top1_pct)
    assert main(["compare", str(done)]) == 0
    assert first.record_id[:6] in capsys.readouterr().out
    assert main(["compare", str(done), f"{done}:{first.record_id[:10]}"]) == 0
    assert main(["compare", f"{done}:zz"]) == 2
    assert "no record 'zz'" in capsys.readouterr().err


def test_other_images_are_not_compared(done: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    other = tmp_path / "other"
    bench(other, methods=("dense",), epochs=1, limit=30)
    assert main(["compare", str(done), str(other)]) == 2
    assert "are of other images (60 and 30)" in capsys.readouterr().err
    (other / PER_SAMPLE).unlink()
    assert main(["compare", str(other)]) == 2
    assert "no per-sample results" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--corruptions", "fogg"], "unknown corruption 'fogg': did you mean 'fog'?"),
        (["--corruptions", "fog", "--severities", "0,6"], "--severities must be 1 to 5, got 0"),
        (["--corruptions", "fog", "--severities", "a"], "--severities must be a valid integer"),
        (["--corrupted-dir", "nowhere"], "no folder 'nowhere'"),
    ],
)
def test_wrong_input_is_said_in_a_line(
    arguments: list[str], line: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert main(["bench", "--dry-run", "--output", str(tmp_path / "out"), *arguments]) == 2
    assert line in capsys.readouterr().err


def precomputed_set(folder: Path, names: tuple[str, ...] = ("fog", "jpeg_compression"), images: int = 60) -> Path:
    """The measured digits, corrupted by us and stored as ImageNet-C is."""
    source = open_split("digits", "validation", limit=images)
    for name in names:
        for severity in (1, 5):
            for index, sample in enumerate(source.manifest.samples):
                place = folder / CORRUPTIONS[name].group / name / str(severity) / str(sample.label)
                place.mkdir(parents=True, exist_ok=True)
                pixels = np.asarray(source.read(index).image)
                Image.fromarray(corrupt(pixels, name, severity, sample.key)).save(place / f"{sample.key}.png")
    return folder


def _take(folder: Path) -> None:
    for file in (folder / "weather" / "fog" / "5" / "7").iterdir():
        file.unlink()
    (folder / "weather" / "fog" / "5" / "7").rmdir()


def _mislabel(folder: Path) -> None:
    place = folder / "weather" / "fog" / "1"
    file = next((place / "3").iterdir())
    file.rename(place / "4" / file.name)


@pytest.mark.parametrize(
    ("break_it", "line"),
    [
        (_take, r"lacks 1 of 10 classes in weather/fog/5: 7"),
        (_mislabel, r"has class 4 in .* and class 3 in the split"),
        (lambda folder: next((folder / "weather" / "fog" / "1" / "3").iterdir()).unlink(), "lacks 1 of the 60 images"),
        (lambda folder: (folder / "weather" / "fog" / "1" / "moon").mkdir(), "not classes of digits: moon"),
        (lambda folder: (folder / "digital").rename(folder / "other"), r"lacks jpeg_compression/1, jpeg_compression/5"),
    ],
)
def test_a_precomputed_set_that_is_not_whole_is_refused_by_what_it_lacks(
    break_it: Callable[[Path], object], line: str, tmp_path: Path
) -> None:
    folder = precomputed_set(tmp_path / "set")
    break_it(folder)
    options = {**CORRUPTED, "corruptions": ("fog", "jpeg_compression"), "corruptions_limit": 60}
    with pytest.raises(InputError, match=line):
        plan_bench(None, {**options, "corrupted_dir": str(folder), "output": str(tmp_path / "o")})
    assert not (tmp_path / "o").exists()


@pytest.mark.slow
def test_a_precomputed_set_of_our_own_corruptions_gives_our_own_numbers(tmp_path: Path) -> None:
    options = {**CORRUPTED, "methods": ("dense",), "corruptions": ("fog", "jpeg_compression"), "corruptions_limit": 60}
    bench(tmp_path / "out", **options)
    bench(tmp_path / "out", **options, corrupted_dir=str(precomputed_set(tmp_path / "set")))
    found: dict[Any, set[Any]] = {}
    for line in Corruption.read(tmp_path / "out"):
        measured = line.result
        found.setdefault((measured.corruption, measured.severity), set()).add((measured.right, measured.images))
    assert len(lines(tmp_path / "out")) == 8
    assert all(len(answers) == 1 for answers in found.values())


@pytest.mark.slow
@pytest.mark.parametrize("ready", [True, False])
def test_what_is_kept_of_decoded_images_stays_within_its_memory(
    ready: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[list[int]] = []
    forget = Run.forget_pixels

    def watched(run: Run) -> None:
        kept.append([loader._pixels._memory_left for loader in run._pixels.values()])
        forget(run)

    monkeypatch.setattr(Run, "forget_pixels", watched)
    options = {**CORRUPTED, "methods": ("dense",), "corruptions": ("fog", "jpeg_compression"), "corruptions_limit": 60}
    folder = {"corrupted_dir": str(precomputed_set(tmp_path / "set"))} if ready else {}
    bench(tmp_path / "out", **options, **folder, memory_mb=100)
    assert 1 <= len(kept[-1]) <= 2  # the images as models see them, and as canvases; no variant
    assert all(0 < left <= 50 << 20 for left in kept[-1])


def test_the_paired_test_is_mcnemars() -> None:
    # 9 against 1 of ten images: 2 (C(10,0) + C(10,1)) / 2^10.
    assert mcnemar(9, 1) == mcnemar(1, 9) == pytest.approx(2 * (1 + 10) / 2**10)
    assert mcnemar(5, 5) == 1
    first = np.array([1, 1, 1, 0, 0, 0, 0, 0], bool)
    second = np.array([1, 1, 0, 1, 1, 0, 0, 0], bool)
    result = paired(first, second)
    assert (result.gained, result.lost, result.difference_points) == (2, 1, 12.5)
    assert result.p_value == pytest.approx(sum(math.comb(3, k) for k in (0, 1, 2, 3)) / 2**3)
    with pytest.raises(InputError, match="8 and 7 images cannot be paired"):
        paired(first, second[1:])


def test_the_interval_of_a_difference_holds_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    gained, lost, _ = rng.multinomial(200, (0.06, 0.02, 0.92), 4000).T
    held = [
        low <= 4 <= high
        for low, high in (difference_interval(int(g), int(b), 200) for g, b in zip(gained, lost, strict=True))
    ]
    assert 0.94 <= np.mean(held) <= 0.975


def _seeded(record: Record, seed: int, correct: int) -> Record:
    seeds = record.seeds.model_copy(update={"training": seed})
    name = record_id(
        role=record.role,
        method=record.method,
        checkpoint=record.checkpoint,
        backbone=record.backbone,
        dataset=record.dataset.name,
        split=record.dataset.split,
        manifest_sha256=record.dataset.manifest_sha256,
        limit=record.dataset.limit,
        preprocessing=record.preprocessing,
        knobs=record.point.knobs,
        rule=record.compute.rule,
        seeds=seeds,
    )
    share = {
        "n_correct": correct,
        "top1_pct": 100 * correct / 60,
        "top1_ci95_low_pct": 0.0,
        "top1_ci95_high_pct": 100.0,
    }
    accuracy = record.accuracy.model_copy(update={**share, "top5_pct": 100.0})
    return record.model_copy(update={"record_id": name, "seeds": seeds, "accuracy": accuracy})


def test_several_training_seeds_are_shown_as_a_spread(done: Path) -> None:
    one = next(record for record in records(done) if record.method.name == "topk")
    trainings = [_seeded(one, seed, correct) for seed, correct in ((0, 30), (1, 33), (2, 36))]
    [spread] = seed_spreads(trainings)
    assert spread.seeds == (0, 1, 2)
    assert (spread.top1_mean_pct, spread.top1_sd_pct) == (pytest.approx(55), pytest.approx(5))
    assert build_board(RunData(trainings)).seeds == (spread,)
    assert seed_spreads(trainings[:1]) == ()


def test_mce_is_alexnets_share_and_leaves_out_a_frost_that_is_not_the_published_one(done: Path) -> None:
    assert mean_corruption_error(ALEXNET_ERROR) == pytest.approx(100)
    run = read_run(done)
    record = run.records[0]
    [template, *_] = run.results["corruption"][record.record_id]
    all_of_it = [
        template.model_copy(update={"corruption": name, "severity": severity, "accuracy_pct": 0.0})
        for name in CORRUPTIONS
        for severity in (1, 2, 3, 4, 5)
    ]
    backbone = record.backbone.model_copy(update={"num_classes": 1000})
    summary = summary_of(record.model_copy(update={"backbone": backbone}), all_of_it)
    assert summary is not None
    assert "frost" not in summary.mce_over
    assert len(summary.mce_over) == 14
    assert not summary.mce_published
    assert summary.mce_pct == pytest.approx(100 * np.mean([1 / ALEXNET_ERROR[name] for name in summary.mce_over]))
