"""The bench with attacks, end to end on digits: what is attached, what is joined, what is never run again."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from bench_helpers import bench, recorded, records

from dynvit.cli import main
from dynvit.leaderboard.follow_up import FollowUp
from dynvit.leaderboard.per_sample import unpack
from dynvit.measurements.robustness.measurement import Robustness
from dynvit.measurements.robustness.result import RobustnessResult
from dynvit.measurements.robustness.summary import RobustnessOverview
from dynvit.report import build_board, read_board, read_run

pytestmark = pytest.mark.slow

PLAIN: dict[str, Any] = {"methods": ("dense", "topk", "dvt"), "epochs": 1, "points": 2, "limit": 40}
ATTACKED: dict[str, Any] = {
    **PLAIN,
    "robustness": ("fgsm", "pgd"),
    "eps": ("4/255", "16/255"),
    "attack_option": {"pgd": ("steps=3",)},
    "robustness_points": 1,
    "robustness_limit": 24,
}


def lines(folder: Path) -> list[FollowUp[RobustnessResult]]:
    return Robustness.read(folder)


def answers(folder: Path) -> dict[str, Any]:
    return {line.key: (line.config, line.result) for line in lines(folder)}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bench that ran without attacks, and then with."""
    folder = tmp_path_factory.mktemp("robust") / "out"
    before = bench(folder, **PLAIN)
    assert bench(folder, **ATTACKED) == before
    return folder


def test_every_way_of_attacking_is_attached_to_the_points_that_were_chosen(done: Path) -> None:
    names = {record.record_id: record.method.name for record in records(done)}
    found = Counter((names[line.record_id], line.result.criterion, line.result.variant) for line in lines(done))
    attacks, radii = 2, 2
    each = attacks * radii
    checks = 3  # five steps, queries alone, no bound
    slow = {(goal, how) for goal in ("slowdown", "slowdown-keep-label") for how in ("adaptive", "static")}
    accuracy = {key: count for key, count in found.items() if key[1:] not in slow}
    assert accuracy == {
        ("dense", "misclassify", "adaptive"): 4 * each + checks,  # of four attempts three are restarts
        ("topk", "misclassify", "adaptive"): 2 * each + checks,
        ("topk", "misclassify", "frozen"): each,
        ("topk", "misclassify", "transfer"): each,
        ("dvt", "misclassify", "adaptive"): each + checks,
        ("dvt", "misclassify", "soft"): each,
        ("dvt", "misclassify", "frozen"): each,
        ("dvt", "misclassify", "transfer"): each,
    }
    assert {key: count for key, count in found.items() if key[1:] in slow} == {
        (name, goal, "adaptive" if name == "dvt" else "static"): each
        for name in ("dense", "topk", "dvt")
        for goal in ("slowdown", "slowdown-keep-label")
    }


def test_every_row_meets_equally_many_attempts(done: Path) -> None:
    board = read_board(done / "leaderboard.json")
    attempts = [[robust.attacks for robust in own.accuracy] for own in Robustness.of(board).values()]
    assert attempts == 3 * [[2 * 4, 2 * 2 * 4 + 2]]  # two attacks, four attempts; the ball of every image counts not
    assert not [note for note in Robustness.notes(board) if "attempts" in note]
    restarts = Counter(line.result.restart for line in lines(done) if line.result.restart)
    assert restarts == {1: 2 * 2 * 2, 2: 2 * 2, 3: 2 * 2}


def test_a_row_that_met_fewer_attempts_is_said_and_made_up_for(done: Path, tmp_path: Path) -> None:
    folder = tmp_path / "older"
    shutil.copytree(done, folder)
    file = folder / "robustness.jsonl"
    older = [line for line in file.read_text().splitlines(keepends=True) if '"restart":null' in line]
    file.write_text("".join(older))
    board = build_board(read_run(folder), command="before there were restarts")
    [said] = [note for note in Robustness.notes(board) if "attempts" in note]
    assert said.startswith("rows have met other attacks under linf (unlike in fgsm, pgd; from 6 to 18 attempts)")
    bench(folder, **ATTACKED)
    assert answers(folder) == answers(done)


def test_the_board_reports_the_worst_of_them_image_by_image(done: Path) -> None:
    board = read_board(done / "leaderboard.json")
    summaries = Robustness.of(board)
    attacked = [entry for entry in board.entries if entry.record_id in summaries]
    assert len(attacked) == 3
    for entry in attacked:
        own = [line.result for line in lines(done) if line.record_id == entry.record_id]
        small, large = summaries[entry.record_id].accuracy
        assert (small.n, large.n) == (24, 24)
        assert large.accuracy_pct <= small.accuracy_pct <= small.clean_pct
        for robust in (small, large):
            tried = [a for a in own if a.criterion == "misclassify" and a.eps is not None and a.eps <= robust.eps]
            survived = [all(bits) for bits in zip(*(unpack(a.right or "", a.n) for a in tried), strict=True)]
            assert robust.accuracy_pct == pytest.approx(100 * sum(survived) / 24)
            assert robust.accuracy_pct <= min(a.accuracy_pct for a in tried)
            assert robust.attacks == len(tried)
    overview = board.overview("robustness", RobustnessOverview)
    assert overview is not None
    assert [(front.norm, front.n_entries) for front in overview.fronts] == [("linf", 3), ("linf", 3)]
    assert {len(front.objectives) for front in overview.fronts} == {3}


def test_a_slowdown_costs_more_and_static_methods_nothing(done: Path) -> None:
    names = {record.record_id: record.method.name for record in records(done)}
    for line in lines(done):
        if line.result.criterion != "misclassify":
            clean = line.result.clean_gmacs_mean
            assert clean is not None
            assert line.result.gmacs_mean >= clean
            if names[line.record_id] != "dvt":
                assert line.result.gmacs_mean == pytest.approx(clean)
                assert line.result.saving_lost_pct in (None, pytest.approx(0))
    slowed = [line.result for line in lines(done) if line.result.criterion == "slowdown"]
    raised = [attack for attack in slowed if attack.variant == "adaptive"]
    assert any(a.gmacs_mean > (a.clean_gmacs_mean or 0) for a in raised)


def test_running_again_attacks_nothing(done: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (done / "robustness.jsonl").read_bytes()

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("attacked again")

    for name in ("attack", "transfer", "untouched"):
        monkeypatch.setattr(f"dynvit.measurements.robustness.measure.{name}", refuse)
    bench(done, **ATTACKED)
    assert (done / "robustness.jsonl").read_bytes() == before


def test_what_was_lost_is_attacked_again_with_the_same_answers(done: Path) -> None:
    file, whole = done / "robustness.jsonl", answers(done)
    content = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join([*content[:5], *content[8:-2], content[-2][:40]]))
    with pytest.warns(UserWarning, match="torn last line"):
        bench(done, **ATTACKED)
    assert answers(done) == whole
    assert len(file.read_bytes().splitlines()) == len(content)


def test_the_results_are_shown_drawn_and_valid(done: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", str(done)]) == 0
    assert f"{len(lines(done))} robustness measurements, all valid" in capsys.readouterr().out
    for name in ("robustness.png", "robustness.svg", "robustness.csv"):
        (done / name).unlink()
    assert main(["show", str(done), "--render"]) == 0
    said = capsys.readouterr().out
    assert "under attack" in said
    assert "4/255" in said
    assert (done / "robustness.png").read_bytes()[:4] == b"\x89PNG"
    assert len((done / "robustness.csv").read_text().splitlines()) == 1 + 3 * 2


def test_a_dry_run_says_what_would_be_attacked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["bench", "--dry-run", "--robustness", "mia-paper", "-o", str(tmp_path / "out")]
    assert main(command) == 0
    assert "robustness: fgsm L2 0.03, pgd L∞ 0.002" in " ".join(capsys.readouterr().out.split())


def test_one_checkpoint_is_attacked_by_a_command_of_its_own(
    done: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    point = ["--knob", "threshold_1=0.2", "--knob", "threshold_2=0.2"]
    command = ["attack", "fgsm", "--method", "dvt", "--checkpoint", str(done / "train" / "dvt"), *point]
    command += ["--eps", "8/255", "--limit", "16", "--no-masking-checks", "-o", str(tmp_path / "out")]
    assert main(command) == 0
    assert "fgsm slowdown-keep-label" in capsys.readouterr().out
    run = read_run(tmp_path / "out")
    [record] = run.records
    assert {(a.criterion, a.variant) for a in run.results["robustness"][record.record_id]} == {
        ("misclassify", "adaptive"),
        ("misclassify", "soft"),
        ("misclassify", "frozen"),
        ("slowdown", "adaptive"),
        ("slowdown-keep-label", "adaptive"),
    }
    assert record.point.knobs == {"threshold_1": 0.2, "threshold_2": 0.2}


def test_a_search_looks_at_three_objectives_on_calibration(tmp_path: Path) -> None:
    options = {**ATTACKED, "methods": ("dense", "topk"), "robustness": ("fgsm",), "attack_option": {}}
    options |= {"sampler": "nsga2", "trials": 5, "calibration": 40, "masking_checks": False}
    found = bench(tmp_path / "a", **options)
    assert bench(tmp_path / "a", **options) == found
    searched = {r.record_id for r in records(tmp_path / "a") if r.role == "search"}
    attacked = [line for line in lines(tmp_path / "a") if line.record_id in searched]
    assert {line.record_id for line in attacked} == searched
    assert {line.result.eps for line in attacked} == {16 / 255}
    other = {**options, "robustness": ("pgd",), "attack_option": {"pgd": ("steps=2",)}}
    assert main(_command(other, tmp_path / "a")) == 2  # another objective is another search


def _command(options: dict[str, Any], folder: Path) -> list[str]:
    """The options as a command line."""
    words = ["bench", "--output", str(folder)]
    for name, value in options.items():
        if name == "attack_option":
            words += [f"--attack-option={attack}.{item}" for attack, items in value.items() for item in items]
        elif isinstance(value, bool):
            words.append(f"--{'' if value else 'no-'}{name.replace('_', '-')}")
        else:
            words += [f"--{name.replace('_', '-')}", ",".join(value) if isinstance(value, tuple) else str(value)]
    return words


@pytest.mark.slow
def test_kills_between_attacks_lose_none_and_repeat_none(done: Path, tmp_path: Path) -> None:
    whole, folder = answers(done), tmp_path / "out"
    bench(folder, **PLAIN)
    command, seen = [sys.executable, "-m", "dynvit", *_command(ATTACKED, folder)], 0
    for _ in range(6):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        while process.poll() is None and _count(folder) < seen + 7:
            time.sleep(0.05)
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
        process.wait()
        seen = _count(folder)
    assert subprocess.run(command, capture_output=True, timeout=600).returncode == 0
    kept = [json.loads(line)["key"] for line in (folder / "robustness.jsonl").read_bytes().splitlines()]
    assert len(kept) == len(set(kept))
    assert answers(folder) == whole
    assert recorded(folder) == recorded(done)


def _count(folder: Path) -> int:
    file = folder / "robustness.jsonl"
    return len(file.read_bytes().splitlines()) if file.exists() else 0
