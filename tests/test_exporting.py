"""A board as other sites read it: by their own readers and schemas, and by targets of plug-ins."""

from __future__ import annotations

import json
import os
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from dynvit.cli import main
from dynvit.errors import InputError
from dynvit.report import read_board
from dynvit.report.boards import Board
from dynvit.report.exporters import Files, export, exporters, register_exporter
from dynvit.report.exporters.eee import every_eval_ever
from dynvit.report.exporters.hf import hugging_face
from dynvit.report.exporters.models import models_of, slug

ROOT = Path(__file__).parents[1]
BOARDS = sorted((ROOT / "leaderboards").glob("*.json"))
NAMES = some.text(min_size=1, max_size=12) | some.sampled_from(
    ["../../x", "@{", "a: b", "- x", "~", "null", "%", "---"]
)


def board_of(file: Path) -> Board:
    return read_board(file)


@pytest.fixture(params=BOARDS, ids=lambda file: file.stem)
def board(request: pytest.FixtureRequest) -> Board:
    return board_of(request.param)


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    """every-eval-ever's schema of aggregates, from its package or from the file that a variable names."""
    given = os.environ.get("DYNVIT_EEE_SCHEMA")
    if given:
        found: dict[str, Any] = json.loads(Path(given).read_text())
    elif find_spec("every_eval_ever"):
        found = json.loads((files("every_eval_ever") / "schemas" / "eval.schema.json").read_text())
    else:
        pytest.skip("no every_eval_ever: install it, or set DYNVIT_EEE_SCHEMA to its eval.schema.json")
    assert found["version"] == "0.3.0"
    return found


def check(schema: dict[str, Any], board: Board) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft7Validator(schema)
    for content in every_eval_ever(board).values():
        validator.validate(json.loads(content))


def test_every_board_is_by_the_schema_of_every_eval_ever(board: Board, schema: dict[str, Any]) -> None:
    check(schema, board)


def test_every_eval_ever_gets_every_number_of_every_entry(board: Board) -> None:
    bodies = [json.loads(content) for content in every_eval_ever(board).values()]
    results = [one for body in bodies for one in body["evaluation_results"]]
    scores = {one["evaluation_result_id"]: one["score_details"] for one in results}
    assert len(scores) == len(results)
    for entry in board.entries:
        accuracy = scores[f"{entry.record_id}/accuracy"]
        assert accuracy["score"] == entry.top1_pct
        assert accuracy["uncertainty"]["confidence_interval"]["upper"] == entry.top1_ci95_high_pct
        assert accuracy["uncertainty"]["num_samples"] == board.setting.n
        assert scores[f"{entry.record_id}/dynvit.gmacs_mean"]["score"] == entry.gmacs_mean
    ways = {one["metric_config"]["metric_id"]: one["metric_config"]["lower_is_better"] for one in results}
    assert ways["dynvit.gmacs_mean"]
    assert not ways["accuracy"]
    assert len(every_eval_ever(board)) == len(models_of(board))


def test_the_hub_reads_the_model_index_of_every_model(board: Board) -> None:
    hub = pytest.importorskip("huggingface_hub")
    written = hugging_face(board)
    cards = {name: text.decode() for name, text in written.items() if name.endswith("README.md")}
    found = {}
    for text in cards.values():
        data = hub.ModelCard(text).data
        assert data.eval_results
        for result in data.eval_results:
            assert result.task_type == "image-classification"
            assert result.dataset_name.startswith(f"{board.setting.dataset} {board.setting.split}, ")
            found[result.metric_args["record_id"], result.metric_type] = result.metric_value
    for entry in board.entries:
        assert found[entry.record_id, "accuracy"] == entry.top1_pct / 100
        assert found[entry.record_id, "gmacs"] == entry.gmacs_mean


def test_what_was_measured_of_a_part_says_so_with_its_unit_and_interval() -> None:
    hub = pytest.importorskip("huggingface_hub")
    board = board_of(ROOT / "leaderboards" / "cifar10.json")
    entry = next(one for one in board.entries if "corruption" in one.measurements)
    summary: Any = entry.measurements["corruption"]
    assert summary["n"] < board.setting.n
    bodies = [json.loads(content) for content in every_eval_ever(board).values()]
    results = {one["evaluation_result_id"]: one for body in bodies for one in body["evaluation_results"]}
    found = results[f"{entry.record_id}/dynvit.corruption.accuracy_pct"]
    assert found["metric_config"]["metric_unit"] == "percent"
    uncertainty = found["score_details"]["uncertainty"]
    assert uncertainty["num_samples"] == summary["n"]
    assert uncertainty["confidence_interval"]["lower"] == summary["accuracy_ci95_low_pct"]
    assert found["source_data"]["dataset_name"] == f"cifar10 validation, {summary['n']:,} images"
    assert found["source_data"]["source_type"] == "other"
    cards = [text.decode() for name, text in hugging_face(board).items() if name.endswith("README.md")]
    read = [one for text in cards for one in hub.ModelCard(text).data.eval_results]
    [one] = [
        one
        for one in read
        if (one.metric_args["record_id"], one.metric_type) == (entry.record_id, "corruption.accuracy_pct")
    ]
    assert one.dataset_name == f"cifar10 validation, {summary['n']:,} images"
    assert (one.dataset_type, one.metric_args["unit"]) == ("cifar10", "percent")
    assert one.metric_args["ci95"] == [summary["accuracy_ci95_low_pct"], summary["accuracy_ci95_high_pct"]]


def test_the_hub_reads_the_results_of_a_whole_split() -> None:
    hub = pytest.importorskip("huggingface_hub")
    board = board_of(ROOT / "leaderboards" / "cifar10.json")
    results = {name: text for name, text in hugging_face(board).items() if "/.eval_results/" in name}
    assert len(results) == len(board.entries)
    for name, text in results.items():
        [entry] = hub.parse_eval_result_entries(yaml.safe_load(text))
        [measured] = [one for one in board.entries if name.endswith(f"{one.record_id}.yaml")]
        assert (entry.dataset_id, entry.value) == ("uoft-cs/cifar10", measured.top1_pct)
        assert measured.method in entry.notes
        assert hub.eval_result_entries_to_yaml([entry]) == yaml.safe_load(text)


@pytest.mark.parametrize("name", ["digits", "imagenet-controls"])
def test_a_part_of_a_split_is_never_sent_to_the_board_of_the_whole(name: str) -> None:
    board = board_of(ROOT / "leaderboards" / f"{name}.json")
    assert not [file for file in hugging_face(board) if ".eval_results" in file]
    assert "ILSVRC" not in str(every_eval_ever(board))


def test_the_command_writes_what_the_target_gives(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):  # writing again gives the same
        assert main(["export", str(BOARDS[0]), "--to", "eee", "-o", str(tmp_path)]) == 0
    said = capsys.readouterr().out.split()
    files = sorted(file for file in tmp_path.rglob("*") if file.is_file())
    assert sorted(map(Path, said[: len(said) // 2])) == files
    assert {str(file.relative_to(tmp_path)) for file in files} == set(every_eval_ever(board_of(BOARDS[0])))


@pytest.fixture
def target(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporters, "_registered", dict(exporters._registered))


@pytest.mark.usefixtures("target")
def test_a_third_target_takes_one_function(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    @register_exporter("names")
    def names(board: Board) -> Files:
        """The names of the methods."""
        name = f"{board.setting.dataset}/{len(board.entries)}.txt"
        return {name: "\n".join(one.name for one in board.methods).encode()}

    folder = ROOT / "leaderboards"
    assert len(list(export(folder, "names", tmp_path))) == len(BOARDS)
    assert "mia" in (tmp_path / "cifar10" / "44.txt").read_text().split()
    assert main(["ls", "exporters"]) == 0
    assert "The names of the methods." in capsys.readouterr().out


@pytest.mark.usefixtures("target")
@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"../x": b""}, "within the folder"),
        ({"/x": b""}, "within the folder"),
        ({"": b""}, "within the folder"),
        ({"x": "text"}, "bytes by name, got str"),
        ([b"x"], "bytes by name, got list"),
        (None, "bytes by name, got NoneType"),
    ],
)
def test_a_target_that_gives_no_files_is_refused_before_it_writes(given: Any, says: str, tmp_path: Path) -> None:
    register_exporter("wrong")(lambda board: given)
    with pytest.raises(InputError, match=says):
        list(export(BOARDS[0], "wrong", tmp_path / "out"))
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "x").exists()


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(method=NAMES, dataset=NAMES, backbone=NAMES, knob=NAMES, option=NAMES | some.integers())
def test_whatever_names_a_board_holds_its_files_stay_within_and_parse(
    schema: dict[str, Any], method: str, dataset: str, backbone: str, knob: str, option: Any
) -> None:
    hub = pytest.importorskip("huggingface_hub")
    board = board_of(ROOT / "leaderboards" / "imagenet-controls.json")
    entry = board.entries[0].model_copy(update={"method": method, "knobs": {knob: 0.5}, "options": {"o": option}})
    setting = board.setting.model_copy(update={"dataset": dataset, "backbone": backbone})
    odd = board.model_copy(update={"entries": (entry,), "setting": setting})
    check(schema, odd)
    for name, content in hugging_face(odd).items():
        assert ".." not in name
        [result] = {r.metric_args["record_id"] for r in hub.ModelCard(content.decode()).data.eval_results}
        assert result == entry.record_id


@given(some.text())
def test_a_slug_is_a_name_on_any_file_system(text: str) -> None:
    assert slug(text)
    assert slug(text).isascii()
    assert not set(slug(text)) & set('/\\:*?"<>|. ')
