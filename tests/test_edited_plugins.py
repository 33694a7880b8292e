"""A one-file measurement or attack that was edited measures again, and what it said before is on no board; the command
that a training names has its plug-in files."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from bench_helpers import bench

from dynvit.attacks import attacks
from dynvit.benchmark.config import load_config
from dynvit.benchmark.identity import identity
from dynvit.cli import main
from dynvit.measurements.base import measurements
from dynvit.report import read_board
from dynvit.session import open_session

MEASUREMENT = """
from dynvit.leaderboard.record import Frozen
from dynvit.measurements.base import register_measurement
from dynvit.measurements.samples import SampleMeasurement

class TallyResult(Frozen):
    tally: int

@register_measurement("tally")
class Tally(SampleMeasurement):
    name = "tally"
    Result = Summary = TallyResult

    def per_sample(self, at, images, labels):
        return {"label": labels}

    def result(self, task, share, run):
        return TallyResult(tally=1 * len(share.ids))
"""
ATTACK = """
from dataclasses import dataclass

from dynvit.attacks.attack import Attack, attacks

@attacks.register("grey")
@dataclass(frozen=True)
class Grey(Attack):
    summary = "towards grey"
    black_box = True

    def search(self, problem):
        moved = problem.clean + 0.0 * (0.5 - problem.clean)
        return problem.threat.project(moved, problem.clean)
"""
ASKED = {"tally": True, "robustness": ("grey",), "eps": (0.4,), "robustness_limit": 20, "masking_checks": False}


@pytest.fixture
def files(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A measurement and an attack of a file each, as options of a bench."""
    for name, text in (("tally", MEASUREMENT), ("grey", ATTACK)):
        (tmp_path / f"{name}.py").write_text(text)
    yield {"plugin": tuple(str(tmp_path / f"{name}.py") for name in ("tally", "grey"))}
    measurements._registered.pop("tally", None)
    attacks._registered.pop("grey", None)


def said(folder: Path) -> tuple[int, float, int]:
    """What the board says of dense: the tally, what the attack left, and the attempts behind it."""
    [entry] = read_board(folder / "leaderboard.json").entries
    [ball] = entry.measurements["robustness"]["accuracy"]
    return entry.measurements["tally"]["tally"], ball["accuracy_pct"], ball["attacks"]


def test_an_edited_measurement_or_attack_measures_again_and_stands_alone(files: dict[str, str], tmp_path: Path) -> None:
    options = {"methods": ("dense",), "epochs": 4, "limit": 60, **ASKED, **files}
    bench(tmp_path / "out", **options)
    tally, clean, attempts = said(tmp_path / "out")
    lines = {name: (tmp_path / "out" / f"{name}.jsonl").read_text() for name in ("tally", "robustness")}

    (tmp_path / "tally.py").write_text(MEASUREMENT.replace("1 *", "2 *"))
    (tmp_path / "grey.py").write_text(ATTACK.replace("0.0 *", "1.0 *"))
    bench(tmp_path / "out", **options)
    attacked = said(tmp_path / "out")
    assert attacked[0] == 2 * tally
    assert attacked[1] < clean

    (tmp_path / "grey.py").write_text(ATTACK)
    bench(tmp_path / "out", **options)
    assert said(tmp_path / "out") == (2 * tally, clean, attempts), "a file that is as it was measures again too"
    for name, before in lines.items():
        assert (tmp_path / "out" / f"{name}.jsonl").read_text().startswith(before), "no line is lost"


def test_a_search_that_looks_at_an_edited_attack_is_another(files: dict[str, str], tmp_path: Path) -> None:
    given = {"methods": ("dense",), "train": True, "sampler": "tpe", "trials": 2, "output": str(tmp_path / "out")}
    config = load_config(None, {**given, "robustness": ("grey",), **files})
    before = identity(config, open_session(config))
    (tmp_path / "grey.py").write_text(ATTACK.replace("0.0 *", "1.0 *"))
    edited = load_config(None, {**given, "robustness": ("grey",), **files})
    assert identity(edited, open_session(edited)) != before


def test_the_command_that_a_training_names_knows_its_plugin_files(
    files: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", "--method", "dense", "--epochs", "1", "-o", str(tmp_path / "trained dense")]
    assert main([*words, "--plugin", files["plugin"][0]]) == 0
    named = shlex.split(capsys.readouterr().out.splitlines()[-1].partition(": ")[2])
    assert named[:2] == ["dynvit", "bench"]
    assert named[-2:] == ["--plugin", files["plugin"][0]]
    assert main([*named[1:], "--limit", "20", "-o", str(tmp_path / "out")]) == 0
