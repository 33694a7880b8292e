"""A stranger's measurement: a package of its own, measured, shown and published with no change to the core."""

from __future__ import annotations

import csv
import json
import re
import shutil
import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from bench_helpers import bench
from hypothesis import given
from hypothesis import strategies as st
from package_helpers import dynvit, install, python

from dynvit.cli import main
from dynvit.data.pixels import PixelBatches, to_pixels
from dynvit.errors import InputError
from dynvit.interface import OperatingPoint
from dynvit.measurements.base import measurements, register_measurement
from dynvit.measurements.samples import SampleValues
from dynvit.registry import load_plugin
from dynvit.report import read_board
from dynvit.request import SessionRequest
from dynvit.session import Wanted, open_session

ROOT = Path(__file__).parents[1]
PACKAGE = Path(__file__).parent / "calibration_package"
FILE = PACKAGE / "dynvit_calibration.py"
BINS, BATCH = 5, 16
SMALL = ("--methods", "dense,dvt", "--epochs", "1", "--limit", "60", "--points", "2", "--batch-size", str(BATCH))
ASKED = ("--ece", "--ece-bins", str(BINS))
# A measurement of what not every model can do: dense explains nothing.
STEPS = """
from dynvit.leaderboard.record import Frozen
from dynvit.measurements.base import register_measurement
from dynvit.measurements.samples import SampleMeasurement

class StepsResult(Frozen):
    n: int

@register_measurement("steps")
class Steps(SampleMeasurement):
    name, needs = "steps", frozenset({"explanations"})
    Result = Summary = StepsResult

    def per_sample(self, at, images, labels):
        return {"label": labels}

    def result(self, task, share, run):
        return StepsResult(n=len(share.ids))
"""
# One that a single process measures: under a launcher the others wait for it.
ALONE = """
from dynvit.leaderboard.record import Frozen
from dynvit.measurements.base import register_measurement
from dynvit.measurements.samples import SampleMeasurement

class AloneResult(Frozen):
    n: int
    mean: float

@register_measurement("alone")
class Alone(SampleMeasurement):
    name, shared = "alone", False
    Result = Summary = AloneResult

    def per_sample(self, at, images, labels):
        return {"mean": images.mean((1, 2, 3))}

    def result(self, task, share, run):
        return AloneResult(n=len(share.ids), mean=share.values["mean"].mean())
"""
# One that promises a search an objective, and has none.
SILENT = STEPS.replace('"steps"', '"silent"').replace('frozenset({"explanations"})', "frozenset()")
SILENT = SILENT.replace("    Result =", "    searchable = True\n    Result =")


@pytest.fixture(scope="module")
def module() -> Iterator[ModuleType]:
    """The package's module, registered as ``--plugin`` does it, for the time of this file."""
    load_plugin(FILE)
    yield sys.modules["dynvit_plugin_dynvit_calibration"]
    measurements._registered.pop("ece")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pip installed the package."""
    return install(PACKAGE, tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def done(site: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of a bench with both measurements, and what it printed."""
    folder = tmp_path_factory.mktemp("bench")
    (folder / "steps.py").write_text(STEPS)
    said = dynvit(site, *command(folder), *ASKED, "--steps")
    return folder / "out", said


def command(folder: Path) -> tuple[str, ...]:
    return ("bench", *SMALL, "--plugin", str(folder / "steps.py"), "-o", str(folder / "out"), "--device", "cpu")


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


# What it is made of


def test_it_is_two_screens_and_the_core_does_not_name_it() -> None:
    assert len(FILE.read_text().splitlines()) <= 160
    named = re.compile(r"calibration error|dynvit_calibration|\bece\b|brier", re.IGNORECASE)
    for file in [*(ROOT / "dynvit").rglob("*.py"), *(ROOT / "methods").rglob("*.py")]:
        assert not named.search(file.read_text(encoding="utf-8")), file


def test_its_flags_have_a_panel_of_their_own(module: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--help", "--plugin", str(FILE)]) == 0
    panels = re.split(r"╭─ ", capsys.readouterr().out)
    [own] = [panel for panel in panels if panel.startswith("Ece")]
    assert re.findall(r"^│ (--\S+)", own, re.MULTILINE) == ["--ece", "--ece-bins", "--ece-limit"]
    assert not any("--ece" in panel for panel in panels if panel != own)


@pytest.mark.parametrize(("flag", "value"), [("bins", "0"), ("limit", "0")])
def test_a_wrong_setting_is_said_in_a_line(
    module: ModuleType, flag: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "--dry-run", "--ece", f"--ece-{flag}", value]) == 2
    assert f"--ece-{flag} must be greater than or equal to 1, got" in capsys.readouterr().err


def test_a_name_that_is_not_the_class_s_own_is_refused(module: ModuleType) -> None:
    register_measurement("calibration-error")(module.Calibration)
    try:
        with pytest.raises(InputError, match="'calibration-error' must be registered by its own name, 'ece'"):
            measurements.get("calibration-error")
        with pytest.warns(UserWarning, match="must be registered by its own name"):
            assert "calibration-error" not in measurements.load_all()
    finally:
        measurements._registered.pop("calibration-error")


# What is measured


def values(confidence: Any, right: Any) -> dict[str, Any]:
    return {"confidence": np.array(confidence), "right": np.array(right, bool), "brier": np.zeros(len(confidence))}


def naive_ece_pct(confidence: list[float], right: list[bool], bins: int) -> float:
    """By the definition: image by image, in a plain loop."""
    order = sorted(range(len(right)), key=lambda place: confidence[place])
    size, larger = divmod(len(order), bins)
    total, at = 0.0, 0
    for number in range(bins):
        own = order[at : at + size + (number < larger)]
        at += len(own)
        total += abs(sum(confidence[place] for place in own) - sum(right[place] for place in own))
    return 100 * total / len(order)


@given(st.lists(st.integers(0, 20), min_size=1, max_size=6, unique=True))
def test_calibrated_bins_have_no_error(module: ModuleType, hits: list[int]) -> None:
    """A bin of twenty images each: of those that are sure by k/20, k are right."""
    hits.sort()
    confidence = [hit / 20 for hit in hits for _ in range(20)]
    right = [place < hit for hit in hits for place in range(20)]
    assert module.reliability(values(confidence, right), len(hits))["ece_pct"] == pytest.approx(0, abs=1e-9)


images = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=80)


@given(images, st.integers(1, 20))
def test_the_error_is_the_definition_s(module: ModuleType, drawn: list[tuple[float, bool]], bins: int) -> None:
    confidence, right = [list(column) for column in zip(*drawn, strict=True)]
    found = module.reliability(values(confidence, right), bins)
    assert found["ece_pct"] == pytest.approx(naive_ece_pct(confidence, right, bins), abs=1e-9)
    assert sum(part.n for part in found["bins"]) == found["n"] == len(drawn)


@given(images, st.integers(1, 5), st.randoms(use_true_random=False))
def test_shares_are_merged_in_any_order(drawn: list[tuple[float, bool]], shares: int, random: Any) -> None:
    rows = [(f"{place:03}", *one) for place, one in enumerate(drawn)]
    again = [*rows, rows[0]]  # an image that two processes saw counts once
    random.shuffle(again)
    parts = []
    for start in range(shares):
        own = again[start::shares]  # a process may have none, and then knows no names
        kept = {"x": np.array([x for _, x, _ in own])} if own else {}
        parts.append(SampleValues(tuple(name for name, _, _ in own), kept, float(len(own))))
    random.shuffle(parts)
    merged = parts[0].merged(parts[1:])
    assert merged.ids == tuple(name for name, _, _ in rows)
    assert merged.values["x"].tolist() == [x for _, x, _ in rows]
    assert merged.seconds == max(part.seconds for part in parts)


@pytest.mark.slow
def test_numbers_are_those_of_a_plain_loop(done: tuple[Path, str]) -> None:
    """The models of the bench are opened again; what they say of each image is added up as the definitions are read."""
    folder, _ = done
    session = open_session(SessionRequest(dataset="digits", device="cpu"))
    source, points = session.split(limit=60), {line["record_id"]: line for line in lines(folder / "runs.jsonl")}
    assert len(lines(folder / "ece.jsonl")) == len(points) == 3
    for line in lines(folder / "ece.jsonl"):
        record, result = points[line["record_id"]], line["result"]
        name = record["method"]["name"]
        opened = session.open(Wanted.of(name, checkpoint=str(folder / "train" / name)))
        point, model = OperatingPoint(**record["point"]["knobs"]), opened.model.eval()
        seen: list[tuple[float, bool, float, int]] = []
        for _, pixels, labels in PixelBatches(source, opened.preprocessing, batch_size=BATCH):
            with torch.no_grad():
                said = model.predict(to_pixels(pixels), point)
            exits = [0] * len(labels) if said.usage.exit is None else said.usage.exit.tolist()
            for row, label, exit in zip(said.logits.double().numpy(), labels.tolist(), exits, strict=True):
                chances = np.exp(row) / np.exp(row).sum()
                score = sum((chance - (place == label)) ** 2 for place, chance in enumerate(chances))
                seen.append((max(chances), int(chances.argmax()) == label, score, exit))
        assert result["accuracy_pct"] == pytest.approx(record["accuracy"]["top1_pct"])
        compare(result, seen)
        of_exits = groupby(sorted(seen, key=lambda one: one[3]), key=lambda one: one[3]) if name == "dvt" else ()
        by_exit = {exit: list(own) for exit, own in of_exits}
        assert [one["exit"] for one in result["exits"]] == list(by_exit)
        for one in result["exits"]:
            compare(one, by_exit[one["exit"]])


def compare(found: dict[str, Any], seen: list[tuple[float, bool, float, int]]) -> None:
    confidence, right, scores, _ = [list(column) for column in zip(*seen, strict=True)]
    # Equal confidences are told apart by id, and digits' ids are not in the order of their images.
    assert len(set(confidence)) == len(confidence)
    assert found["n"] == len(seen)
    assert found["ece_pct"] == pytest.approx(naive_ece_pct(confidence, right, BINS), abs=1e-9)
    assert found["brier"] == pytest.approx(sum(scores) / len(seen), abs=1e-9)
    assert found["confidence_pct"] == pytest.approx(100 * sum(confidence) / len(seen), abs=1e-9)
    assert found["accuracy_pct"] == pytest.approx(100 * sum(right) / len(seen), abs=1e-9)


@pytest.mark.slow
def test_several_processes_measure_what_one_does(done: tuple[Path, str], site: Path, tmp_path: Path) -> None:
    folder, _ = done
    shutil.copytree(folder, tmp_path / "out", ignore=shutil.ignore_patterns("ece.*", "steps.jsonl"))
    shutil.copy(folder.parent / "steps.py", tmp_path)
    launcher = ("-m", "torch.distributed.run", "--nproc_per_node", "2", "-m", "dynvit")
    python(site, *launcher, *command(tmp_path), *ASKED)
    one, two = lines(folder / "ece.jsonl"), lines(tmp_path / "out" / "ece.jsonl")
    assert [(line["key"], line["result"]) for line in one] == [(line["key"], line["result"]) for line in two]
    assert {line["environment"]["processes"] for line in two} == {2}


@pytest.mark.slow
def test_one_process_measures_what_is_not_shared(done: tuple[Path, str], site: Path, tmp_path: Path) -> None:
    folder, _ = done
    shutil.copytree(folder, tmp_path / "out", ignore=shutil.ignore_patterns("ece.*", "steps.jsonl"))
    shutil.copy(folder.parent / "steps.py", tmp_path)
    (tmp_path / "alone.py").write_text(ALONE)
    asked = (*command(tmp_path), "--plugin", str(tmp_path / "alone.py"), "--alone")
    file = tmp_path / "out" / "alone.jsonl"
    python(site, "-m", "torch.distributed.run", "--nproc_per_node", "2", "-m", "dynvit", *asked)
    two = lines(file)
    file.unlink()
    dynvit(site, *asked)
    assert [(line["key"], line["result"]) for line in two] == [(line["key"], line["result"]) for line in lines(file)]
    assert {line["result"]["n"] for line in two} == {60}
    assert {line["environment"]["processes"] for line in two} == {1}


# The bench and the board


@pytest.mark.slow
def test_what_is_measured_is_not_measured_again(done: tuple[Path, str], site: Path) -> None:
    folder, _ = done
    before = (folder / "ece.jsonl").read_bytes(), (folder / "leaderboard.json").read_bytes()
    dynvit(site, *command(folder.parent), *ASKED, "--steps")
    # The command that wrote a board is the same, so that its bytes are.
    assert ((folder / "ece.jsonl").read_bytes(), (folder / "leaderboard.json").read_bytes()) == before


@pytest.mark.slow
def test_it_is_shown_without_torch(done: tuple[Path, str], site: Path) -> None:
    folder, _ = done
    code = (
        "import sys; from dynvit.cli import main\n"
        f"assert main(['show', {str(folder)!r}]) == 0\n"
        "assert not {'torch', 'timm', 'accelerate'} & sys.modules.keys()"
    )
    shown = python(site, "-c", code, COLUMNS="160")
    board, own = shown.split("calibration", 1)
    assert "ECE %" in board
    exits = [line.split() for line in own.splitlines() if line.startswith(("dense", "dvt"))]
    with (folder / "ece.csv").open(newline="", encoding="utf-8") as file:
        expected = [(row["method"], row["exit"]) for row in csv.DictReader(file)]
    assert [(words[0], words[-6]) for words in exits] == expected
    assert {words[-6] for words in exits if words[0] == "dvt"} > {"all", "0"}


@pytest.mark.slow
def test_pictures_are_written_and_files_validate(done: tuple[Path, str], site: Path, tmp_path: Path) -> None:
    folder, _ = done
    assert (folder / "ece.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (folder / "ece.svg").read_text()
    valid = dynvit(site, "validate", str(folder))
    assert f"{folder / 'ece.jsonl'}: 3 ece measurements, all valid" in valid
    assert f"{folder / 'leaderboard.json'}: 3 entries, all valid" in valid
    python(site, "-m", "dynvit.report.schema", str(tmp_path))
    for name in ("ece", "ece-summary"):
        schema = json.loads((tmp_path / f"{name}.schema.json").read_text())
        assert "expected calibration error" in json.dumps(schema)


@pytest.mark.slow
def test_its_board_is_read_where_it_is_not_installed(done: tuple[Path, str]) -> None:
    folder, _ = done
    assert "ece " not in dynvit(None, "bench", "--help")
    assert "ECE %" not in dynvit(None, "show", str(folder / "leaderboard.json"))
    board = read_board(folder / "leaderboard.json")
    assert all(entry.measurements["ece"]["n"] == 60 for entry in board.entries)
    assert "ece.ece_pct" in board.to_dataframe()


@pytest.mark.slow
def test_a_model_that_a_measurement_does_not_fit_is_skipped_with_the_reason(done: tuple[Path, str]) -> None:
    folder, said = done
    assert "steps was skipped for dense (1 point): it does not support explanations" in said
    skipped = {line["skipped"]: line["result"] for line in lines(folder / "steps.jsonl")}
    assert skipped == {"it does not support explanations": None, None: {"n": 60}}
    entries = read_board(folder / "leaderboard.json").entries
    assert {entry.method: entry.skipped for entry in entries} == {
        "dense": {"steps": "it does not support explanations"},
        "dvt": {},
    }


def test_a_searchable_measurement_without_an_objective_is_named(tmp_path: Path) -> None:
    (tmp_path / "silent.py").write_text(SILENT)
    options = {"methods": ("topk",), "epochs": 1, "sampler": "nsga2", "trials": 4, "calibration": 40}
    try:
        with pytest.raises(InputError, match="'silent' must give a search a number at every point, got None at"):
            bench(tmp_path / "out", **options, plugin=(str(tmp_path / "silent.py"),), silent=True)
    finally:
        measurements._registered.pop("silent", None)
