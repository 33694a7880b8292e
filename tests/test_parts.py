"""A bench in parts: each part does its own, and together they have the records of the undivided run."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from bench_helpers import SMALL, bench, recorded
from hypothesis import given
from hypothesis import strategies as st

from dynvit.api.benching import plan_bench
from dynvit.api.dividing import command_words, share_asked
from dynvit.api.launching import Engine, launch_bench
from dynvit.benchmark.cells import BenchShare, cells_of, find_cell
from dynvit.benchmark.identity import claim_shared
from dynvit.benchmark.parts import cell_part, share_of
from dynvit.benchmark.run import Bench
from dynvit.benchmark.versions import same_versions
from dynvit.cli import main
from dynvit.errors import InputError
from dynvit.launchers.local import LocalLauncher
from dynvit.report.merging import merge

ATTACKED: dict[str, Any] = {
    **SMALL,
    "epochs": 1,
    "robustness": "fgsm",
    "eps": "8/255",
    "robustness_limit": 20,
    "robustness_points": 2,
    "masking_checks": False,
}


def planned(folder: Path, **options: Any) -> Bench:
    return plan_bench(None, {**ATTACKED, "output": str(folder), **options})


def attacks(folder: Path) -> dict[str, Any]:
    """Lines of attacks by key, without when, where and how long."""
    lines = [json.loads(line) for line in (folder / "robustness.jsonl").read_text().splitlines()]
    kept = ("record_id", "config", "result", "skipped")
    return {line["key"]: {name: line.get(name) for name in kept} for line in lines}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the undivided run."""
    folder = tmp_path_factory.mktemp("whole") / "out"
    bench(folder, **{name: value for name, value in ATTACKED.items() if name not in SMALL or name == "epochs"})
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2, 7])
def test_shares_come_to_the_undivided_run(whole: Path, tmp_path: Path, count: int) -> None:
    out = tmp_path / "out"
    parts = [share_of(planned(out), BenchShare(number, count)) for number in range(1, count + 1)]
    for part in reversed(parts):  # the order is nobody's business
        part.run()
    merge([part.folder for part in parts], tmp_path / "merged")
    assert recorded(tmp_path / "merged") == recorded(whole)
    assert attacks(tmp_path / "merged") == attacks(whole)
    assert len({path.name for path in (out / "train").iterdir()}) == 2  # each training once, for all


@pytest.mark.slow
def test_cells_come_to_the_undivided_run_and_measure_each_thing_once(whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    cells = cells_of(planned(out))
    done: set[str] = set()
    for cell in cells:
        assert set(cell.needs) <= done
        cell_part(planned(out), cell).run()
        done.add(cell.name)
    folders = [out / "cells" / cell.folder for cell in cells if cell.measures]
    merge(folders, out)
    assert recorded(out) == recorded(whole)
    assert attacks(out) == attacks(whole)
    measured = [id_ for cell in cells if cell.kind == "accuracy" for id_ in recorded(out / "cells" / cell.folder)]
    assert sorted(measured) == sorted(recorded(whole))


def test_a_cell_needs_what_it_is_made_of(tmp_path: Path) -> None:
    needs = {cell.name: cell.needs for cell in cells_of(planned(tmp_path / "out"))}
    assert needs["train:dynamicvit"] == ("train:dense",)
    assert needs["budgets"] == ("train:dense", "train:dynamicvit")
    assert needs["accuracy:topk"] == ("budgets",)
    assert needs["robustness:topk"] == ("accuracy:topk", "accuracy:dense")
    named = {cell.name: cell.needs for cell in cells_of(planned(tmp_path / "out", budgets=(0.001,)))}
    assert "budgets" not in named
    assert named["accuracy:dynamicvit"] == ("train:dynamicvit",)
    assert named["accuracy:topk"] == ("train:dense",)


def test_a_cell_that_there_is_not_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown cell 'accuracy:topkk': did you mean 'accuracy:topk'"):
        find_cell("accuracy:topkk", cells_of(planned(tmp_path / "out")))


@given(labels=st.sets(st.text(min_size=1)), count=st.integers(1, 9), data=st.data())
def test_shares_are_all_of_it_and_of_one_size_in_any_order(labels: set[str], count: int, data: st.DataObject) -> None:
    order = data.draw(st.permutations(sorted(labels)))
    parts = [BenchShare(number, count).of(order) for number in range(1, count + 1)]
    assert sorted(label for part in parts for label in part) == sorted(labels)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert parts == [BenchShare(number, count).of(sorted(labels)) for number in range(1, count + 1)]


@pytest.mark.parametrize("text", ["", "1", "0/2", "3/2", "1/0", "-1/2", "1/2/3", "a/b", "1.0/2", "²/3"])
def test_a_share_is_one_of_n(text: str) -> None:
    with pytest.raises(InputError, match="I/N"):
        BenchShare.read(text)


@pytest.mark.slow
def test_a_launched_bench_of_which_a_cell_is_killed_comes_to_the_undivided_run(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, launcher = tmp_path / "out", LocalLauncher(2)
    options = {name: ",".join(v) if isinstance(v, tuple) else v for name, v in ATTACKED.items()}
    words = command_words(None, {**options, "output": str(out)})
    monkeypatch.setattr("dynvit.api.launching.make_launcher", lambda *_: launcher)

    def kill_one() -> None:
        while not (out / "train" / "dense" / "model.safetensors").exists():
            time.sleep(0.1)
        while not (running := list(launcher._running)):
            time.sleep(0.1)
        running[0].kill()

    killer = threading.Thread(target=kill_one, daemon=True)
    killer.start()
    done = launch_bench(planned(out), words, Engine("local:2"))
    killer.join(10)
    assert done.fault() is None
    assert recorded(out) == recorded(whole)
    assert attacks(out) == attacks(whole)
    assert (out / "front.png").is_file()
    before = (out / "runs.jsonl").read_bytes()

    def refuse(*_: object) -> None:
        raise AssertionError("begun again")

    monkeypatch.setattr(LocalLauncher, "submit", refuse)
    again = launch_bench(planned(out), words, Engine("local:2"))
    assert again.fault() is None
    assert (out / "runs.jsonl").read_bytes() == before


@pytest.mark.slow
def test_two_launchers_of_one_bench_of_which_one_is_killed_come_to_the_undivided_run(
    whole: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    options = {name: ",".join(v) if isinstance(v, tuple) else v for name, v in ATTACKED.items()}
    words = [*command_words(None, {**options, "output": str(out)}), "--launcher=local:1"]

    def start(name: str) -> subprocess.Popen[bytes]:
        said = (tmp_path / name).open("wb")
        return subprocess.Popen([sys.executable, "-m", *words], stdout=said, stderr=said, cwd=tmp_path)

    first, second = start("first.log"), start("second.log")
    while not (out / "train" / "dense" / "model.safetensors").exists():
        assert first.poll() is None, (tmp_path / "first.log").read_text()
        time.sleep(0.1)
    first.kill()  # its cell goes on, without it
    assert second.wait(500) == 0, (tmp_path / "second.log").read_text()
    assert recorded(out) == recorded(whole)
    assert attacks(out) == attacks(whole)


def test_a_part_with_another_version_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = planned(tmp_path / "out")
    claim_shared(made.folder, made.config, made.session, made.source)
    same_versions(made)
    same_versions(made)
    monkeypatch.setattr("dynvit.benchmark.versions.__version__", "9.9")
    with pytest.raises(
        InputError, match=r"begun with dynvit .*, and here is 9\.9: parts of one bench need one version"
    ):
        same_versions(made)


def test_the_plan_is_a_command_a_cell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        "--methods",
        "dense,topk",
        "--epochs",
        "1",
        "--points",
        "2",
        "--limit",
        "20",
        "-o",
        str(tmp_path / "o"),
    ]
    assert main(["plan", *arguments, "--json"]) == 0
    cells = {cell["name"]: cell for cell in json.loads(capsys.readouterr().out)["cells"]}
    assert list(cells) == ["train:dense", "budgets", "accuracy:dense", "accuracy:topk"]
    assert cells["train:dense"]["seconds"] > 0
    assert cells["accuracy:topk"]["needs"] == ["budgets"]
    words = shlex.split(cells["accuracy:topk"]["command"])
    assert words[:2] == ["dynvit", "bench"]
    assert words[-1] == "--cell=accuracy:topk"
    assert not (tmp_path / "o").exists()
    assert main(["plan", *arguments]) == 0
    assert "accuracy:topk, about 0:0" in capsys.readouterr().out
    assert main(["bench", *arguments, "--cell=train:dense"]) == 0
    capsys.readouterr()
    assert main(["plan", *arguments, "--json"]) == 0
    trained = json.loads(capsys.readouterr().out)["cells"][0]
    assert (trained["done"], trained["seconds"]) == (True, None)  # and is not tried again


@pytest.mark.parametrize(
    ("environment", "share"),
    [
        ({}, None),
        ({"SLURM_ARRAY_TASK_ID": "2"}, None),
        ({"SLURM_ARRAY_TASK_ID": "2", "SLURM_ARRAY_TASK_COUNT": "3"}, BenchShare(2, 3)),
    ],
)
def test_a_task_of_an_array_does_its_share(environment: dict[str, str], share: BenchShare | None) -> None:
    assert share_asked(None, environment) == share
    assert share_asked("1/4", environment) == BenchShare(1, 4)


def test_an_array_that_begins_at_0_is_refused() -> None:
    with pytest.raises(InputError, match="got '0/3': number tasks from 1, --array=1-N"):
        share_asked(None, {"SLURM_ARRAY_TASK_ID": "0", "SLURM_ARRAY_TASK_COUNT": "3"})


@given(st.dictionaries(st.sampled_from(["methods", "points", "eps", "output"]), st.text("ab, -=/", min_size=1)))
def test_a_command_says_what_was_given(values: dict[str, str]) -> None:
    words = command_words("suite.yaml", {**values, "train": False, "option": ["a.b=1", "c.d=2"]})
    assert words[:4] == ["dynvit", "bench", "-C", "suite.yaml"]
    for name, value in values.items():
        assert f"--{name}={value}" in words
    assert words[-3:] == ["--no-train", "--option=a.b=1", "--option=c.d=2"]
