"""The bench, end to end on real scans of digits."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path

import pytest
from bench_helpers import bench, recorded, records

from dynvit.benchmark.config import load_config
from dynvit.benchmark.folder import check_folder
from dynvit.benchmark.identity import identity
from dynvit.cli import main
from dynvit.data.pixels import PixelBatches
from dynvit.errors import InputError
from dynvit.registry import file_version
from dynvit.report import read_board
from dynvit.request import SessionRequest
from dynvit.session import open_session


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small bench that ran to its end."""
    folder = tmp_path_factory.mktemp("bench") / "out"
    bench(folder)
    return folder


def test_every_model_has_a_record_for_every_budget(done: Path) -> None:
    by_method: dict[str, list[float | None]] = {}
    for record in records(done):
        by_method.setdefault(record.method.name, []).append(record.point.target_gmacs)
    assert by_method.pop("dense") == [None]
    assert set(by_method) == {"random", "topk", "dynamicvit"}
    assert by_method["dynamicvit"].pop() is None  # the keep ratio that it was trained for
    [budgets] = {tuple(targets) for targets in by_method.values()}
    assert len(budgets) == 3
    assert list(budgets) == sorted(budgets)


def test_no_point_costs_more_than_its_budget_nor_an_image_is_lost(done: Path) -> None:
    for record in records(done):
        assert record.dataset.n_unique == record.dataset.n_expected == 60
        target = record.point.target_gmacs
        assert target is None or record.point.realised_gmacs <= target * (1 + 1e-9)


def test_at_the_full_budget_the_controls_are_the_backbone(done: Path) -> None:
    dense, *others = [r for r in records(done) if r.compute.saving_pct == pytest.approx(0) and r.checkpoint is None]
    assert dense.method.name == "dense"
    assert {other.method.name for other in others} == {"random", "topk"}
    assert all(other.accuracy == dense.accuracy for other in others)


def test_the_published_files_hold_what_was_recorded(done: Path) -> None:
    board = read_board(done / "leaderboard.json")
    assert {entry.record_id for entry in board.entries} == set(recorded(done))
    assert (done / "front.png").read_bytes()[:4] == b"\x89PNG"
    assert "<svg" in (done / "front.svg").read_text()
    assert len((done / "front.csv").read_text().splitlines()) == 1 + len(board.entries)
    assert main(["validate", str(done)]) == 0


def test_running_again_measures_nothing_and_changes_nothing(done: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {file: file.read_bytes() for file in done.iterdir() if file.is_file()}

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr("dynvit.measurements.accuracy.measure.evaluate", refuse)
    bench(done)
    after = {file: file.read_bytes() for file in done.iterdir() if file.is_file()}
    command = [(done / "leaderboard.json")]  # the board names the command that wrote it, which pytest decides
    assert {f: b for f, b in after.items() if f not in command} == {f: b for f, b in before.items() if f not in command}


def test_another_configuration_is_refused_by_the_option_that_differs(done: Path, capsys: pytest.CaptureFixture) -> None:
    before = (done / "runs.jsonl").read_bytes()
    arguments = ["bench", "--methods", "dense,random,topk,dynamicvit", "--epochs", "2", "--limit", "60"]
    assert main([*arguments, "--points", "4", "--output", str(done)]) == 2
    assert "points = 3, not 4" in capsys.readouterr().err
    assert (done / "runs.jsonl").read_bytes() == before


@pytest.mark.slow
def test_fresh_starts_beside_and_deletes_nothing(done: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["bench", "--fresh", "--dry-run", "--points", "5", "-o", str(done)]) == 0
    assert f"{done.name}-2" in capsys.readouterr().out
    assert not done.with_name(f"{done.name}-2").exists()


@pytest.mark.slow
def test_a_dry_run_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["bench", "--dry-run", "--output", str(tmp_path / "out")]) == 0
    assert "dynamicvit-0.6: training for 0.6" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()


def test_an_image_is_decoded_once_a_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaders: list[PixelBatches] = []
    made = PixelBatches.__init__

    def watched(self: PixelBatches, *args: object, **kwargs: object) -> None:
        made(self, *args, **kwargs)  # type: ignore[arg-type]
        loaders.append(self)

    monkeypatch.setattr(PixelBatches, "__init__", watched)
    bench(tmp_path / "out", methods=("dense", "random", "topk"), epochs=1, points=5)
    measuring = [loader for loader in loaders if loader.source.split == "validation" and len(loader.source) == 60]
    assert sum(loader.decoded for loader in measuring) == 60


@pytest.mark.slow
def test_a_search_looks_at_calibration_and_reports_on_validation(tmp_path: Path) -> None:
    options = {"methods": ("dense", "topk"), "epochs": 1, "sampler": "nsga2", "trials": 8}
    first = bench(tmp_path / "a", **options)
    again = bench(tmp_path / "b", **options)
    assert first == again
    found = records(tmp_path / "a")
    searched = [record for record in found if record.role == "search"]
    assert {record.dataset.split for record in searched} == {"calibration"}
    assert 0 < len(searched) <= 8
    reported = [r for r in found if r.role == "report" and r.method.name == "topk"]
    assert {record.dataset.split for record in reported} == {"validation"}
    assert {str(r.point.knobs) for r in reported} <= {str(r.point.knobs) for r in searched}
    board = read_board(tmp_path / "a" / "leaderboard.json")
    assert len(board.entries) == len(reported) + 1


@pytest.mark.slow
def test_more_trials_go_on_where_fewer_ended(tmp_path: Path) -> None:
    options = {"methods": ("dense", "topk"), "epochs": 1, "sampler": "nsga2", "limit": 20}
    bench(tmp_path / "out", **options, trials=3)
    first = [record.record_id for record in records(tmp_path / "out") if record.role == "search"]
    bench(tmp_path / "out", **options, trials=9)
    more = [record.record_id for record in records(tmp_path / "out") if record.role == "search"]
    assert more[: len(first)] == first
    assert len(more) == 9
    bench(tmp_path / "out", **options, trials=9)
    assert [record.record_id for record in records(tmp_path / "out") if record.role == "search"] == more
    with pytest.raises(InputError, match="was made with trials = 3, not 2"):
        bench(tmp_path / "out", **options, trials=2)


@pytest.mark.slow
def test_several_targets_are_several_checkpoints_on_one_front(tmp_path: Path) -> None:
    bench(tmp_path / "out", methods=("dense", "dynamicvit"), epochs=1, points=2, targets=(0.8, 0.6))
    board = json.loads((tmp_path / "out" / "leaderboard.json").read_text())
    checkpoints = {entry["checkpoint_sha256"] for entry in board["entries"] if entry["method"] == "dynamicvit"}
    assert len(checkpoints) == 2
    assert [summary["name"] for summary in board["methods"]] == ["dense", "dynamicvit"]


def test_an_edited_plugin_is_another_configuration(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    block = re.search(r"```python\n(.*?)```", (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text(), re.S)
    assert block is not None
    plugin = tmp_path / "halfvit.py"
    text = block[1].replace('register_method("half")', 'register_method("edited")')
    plugin.write_text(text)
    options = {"methods": ("dense", "edited"), "epochs": 1, "points": 2, "plugin": (str(plugin),)}
    bench(tmp_path / "out", **options)
    [half] = {(r.method.distribution, r.method.version) for r in records(tmp_path / "out") if r.method.name == "edited"}
    assert half == ("halfvit.py", file_version(plugin))
    plugin.write_text(text.replace("depth // 2", "depth // 4"))
    with pytest.raises(InputError, match=r"halfvit\.py"):
        bench(tmp_path / "out", **options)


def test_an_edited_counting_rule_is_another_configuration(tmp_path: Path) -> None:
    plugin = tmp_path / "five.py"
    text = (
        "from dynvit.cost import register_rule\n\n\n@register_rule('five-times')\ndef five(part):\n"
        '    """Five times."""\n    return 5 * part.multiply_adds\n'
    )
    plugin.write_text(text)
    given = {"methods": ("dense",), "train": True, "output": str(tmp_path / "out"), "plugin": (str(plugin),)}
    config = load_config(None, {**given, "rule": "five-times"})
    session = open_session(config)
    before = identity(config, session)["plugin"]
    assert list(before) == ["five.py"]
    plugin.write_text(text.replace("5 *", "6 *"))
    edited = identity(load_config(None, {**given, "rule": "five-times"}), session)["plugin"]
    assert list(edited) == ["five.py"]
    assert edited != before
    assert identity(load_config(None, given), session)["plugin"] == {}  # by another rule the file counts nothing


def test_a_folder_of_version_1_lists_plugins_that_are_no_methods(tmp_path: Path) -> None:
    (tmp_path / "bench.json").write_text(json.dumps({"seed": 0, "plugin": {"own.py": "1", "attack.py": "2"}}))
    today = {"seed": 0, "data_seed": 0, "plugin": {"own.py": "1"}}
    assert check_folder(tmp_path, today)
    with pytest.raises(InputError, match=r"plugin = .*own\.py"):
        check_folder(tmp_path, {**today, "plugin": {"own.py": "3"}})


def test_what_is_trained_again_under_the_same_name_is_another_bench(tmp_path: Path) -> None:
    file, checkpoint = tmp_path / "dense.safetensors", tmp_path / "mia"
    checkpoint.mkdir()
    session = open_session(SessionRequest(dataset="digits"))
    given = load_config(None, {"weights": str(file), "method_checkpoint": {"mia": (str(checkpoint),)}})
    found = [identity(given, session)]
    for changed in (file, checkpoint / "model.safetensors", file):
        changed.write_bytes(bytes(len(found)))
        found.append(identity(given, session))
    assert all(one != other for one, other in pairwise(found))


def test_records_of_an_earlier_training_do_not_mix_with_those_of_a_new_one(tmp_path: Path) -> None:
    out, new = tmp_path / "out", tmp_path / "new"
    asked = {"methods": ("dense", "topk"), "epochs": 1, "points": 2, "limit": 20, "limit_train": 64}
    first = bench(out, **asked)
    before, kept = (out / "runs.jsonl").read_bytes(), (out / "train").rename(tmp_path / "kept")
    with pytest.raises(InputError, match=r"holds results of an earlier training: train/dense was [0-9a-f]{12} and is"):
        bench(out, **asked, accumulate=4)
    assert (out / "runs.jsonl").read_bytes() == before
    new.mkdir()
    (out / "train").rename(new / "train")  # as the refusal says: nothing is lost
    assert not bench(new, **asked, accumulate=4).keys() & first.keys()
    kept.rename(out / "train")
    assert bench(out, **asked) == first
