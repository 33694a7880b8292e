"""The Python API: what a notebook calls, and that a wrong call says what is wrong."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from ast import literal_eval
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from api_fault_cases import WRONG, Made
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

import dynvit
from dynvit.backbones.build import BackboneSpec, build
from dynvit.benchmark.config import load_config
from dynvit.data import open_split
from dynvit.leaderboard.store import RunStore

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A backbone and a cascade that were trained for an epoch by a bench, and a folder of photos."""
    folder = tmp_path_factory.mktemp("api")
    dynvit.bench(["dense", "dvt"], dataset="digits", epochs=1, points=2, limit=60, output=folder / "bench")
    source = open_split("digits", "validation")
    (folder / "photos").mkdir()
    for index in range(70):
        source.read(index).image.save(folder / "photos" / f"{index:02}.png")
    return {
        "bench": folder / "bench",
        "photos": folder / "photos",
        "dense": folder / "bench" / "train" / "dense",
        "dvt": folder / "bench" / "train" / "dvt",
    }


@pytest.fixture(scope="module")
def cascade(made: Made) -> dynvit.Model:
    return dynvit.load(made["dvt"]).at(threshold_1=0.105, threshold_2=0.105)


@pytest.fixture(scope="module")
def topk(made: Made) -> dynvit.Model:
    return dynvit.load("topk", weights=made["dense"], stages=2)


@pytest.fixture(scope="module")
def photos(made: Made) -> list[Path]:
    return sorted(made["photos"].iterdir())


def pixels(photos: list[Path]) -> Tensor:
    return torch.stack([torch.from_numpy(np.array(Image.open(p))).permute(2, 0, 1).float() / 255 for p in photos])


def python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.slow
def test_importing_dynvit_imports_nothing_heavy_and_a_name_is_what_it_says_whatever_came_before() -> None:
    loaded = set(python("import dynvit, sys; dir(dynvit); print(*(m.split('.')[0] for m in sys.modules))").split())
    assert not loaded & {"torch", "numpy", "pydantic", "timm", "pandas"}
    everything = "import dynvit, dynvit.cli, dynvit.benchmark.run, dynvit.training.run, dynvit.attacks"
    public = "[getattr(dynvit, n) for n in dynvit.__all__ if n[0] != '_']"
    assert python(f"{everything}; print(all(map(callable, {public})))") == "True"


def test_no_module_takes_the_name_of_a_call() -> None:
    modules = {path.stem for path in (ROOT / "dynvit").iterdir()}
    assert not modules & set(dynvit.__all__)
    assert set(dynvit.__all__) <= set(dir(dynvit))
    with pytest.raises(AttributeError, match="nonsense"):
        _ = dynvit.nonsense


def test_a_model_tells_what_it_is(cascade: dynvit.Model, topk: dynvit.Model) -> None:
    assert (cascade.method, cascade.backbone, cascade.image_size, cascade.classes) == ("dvt", "vit_digits", 8, 10)
    assert cascade.class_names == tuple("0123456789")
    assert cascade.knobs == {"threshold_1": (0.0, 1.0), "threshold_2": (0.0, 1.0)}
    assert topk.options.stages == 2
    assert topk.point == dynvit.OperatingPoint(keep_ratio=1.0)
    assert topk.dense_gmacs == cascade.dense_gmacs > 0
    assert topk.device.type in ("cpu", "cuda")
    assert repr(topk.at(keep_ratio=0.7)) == "Model(topk on vit_digits, 8 pixels at keep_ratio=0.7)"


def test_at_gives_another_point_and_leaves_the_model_as_it_is(cascade: dynvit.Model) -> None:
    before = cascade.point
    other = cascade.at(threshold_2=1.0)
    assert other.point == dynvit.OperatingPoint(threshold_1=0.105, threshold_2=1.0)
    assert other.at(before).point == before == cascade.point
    assert other.opened is cascade.opened, "weights are shared"


def test_a_budget_is_kept_whatever_it_is_solved_on(
    cascade: dynvit.Model, topk: dynvit.Model, made: Made, photos: list[Path]
) -> None:
    lean = topk.at(saving=0.4)
    answer = lean(photos[0])
    assert lean.budget_gmacs == pytest.approx(0.6 * topk.dense_gmacs)
    assert 0.5 * topk.dense_gmacs < answer.gmacs <= 0.6 * topk.dense_gmacs
    images = pixels(photos)
    labelled = DataLoader(TensorDataset(images, torch.arange(len(images)) % 10), batch_size=32)
    for calibration in (made["photos"], str(made["photos"]), photos, images, labelled, "digits"):
        model = cascade.at(gmacs=0.0015, calibration=calibration)
        spent = [answer.gmacs for answer in model(photos)]
        assert sum(spent) / len(spent) <= (0.0015 if calibration != "digits" else 0.0018)
    own = cascade.at(gmacs=0.0015)
    assert own.point == cascade.at(gmacs=0.0015, calibration="digits").point


def test_labels_are_asked_for_where_a_method_needs_them(
    cascade: dynvit.Model, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(cascade.opened.model), "solves_unlabelled", False)
    with pytest.raises(dynvit.InputError, match=r"a DataLoader of images and labels: .* no labels"):
        cascade.at(saving=0.3, calibration=made["photos"])


def test_every_kind_of_image_gets_the_same_answer(cascade: dynvit.Model, photos: list[Path]) -> None:
    few, images = photos[:3], pixels(photos[:3])
    opened = [Image.open(path) for path in few]
    wanted = [cascade(path) for path in few]
    for one in (str(few[0]), opened[0], np.array(opened[0]), images[0]):
        assert cascade(one) == wanted[0]
    loader = DataLoader(TensorDataset(images, torch.zeros(3)), batch_size=2)
    for several in (few, tuple(map(str, few)), iter(few), opened, list(images), images, loader, list(loader)):
        assert_alike(cascade(several), wanted)
    assert_alike(cascade([{"pixel_values": images}]), wanted)
    assert cascade([]) == []


def assert_alike(found: list[dynvit.Answer], wanted: list[dynvit.Answer]) -> None:
    assert [(a.label, a.index, a.gmacs, a.exit) for a in found] == [(a.label, a.index, a.gmacs, a.exit) for a in wanted]
    assert [a.probability for a in found] == pytest.approx([a.probability for a in wanted])


def test_an_answer_says_class_probability_compute_and_exit(
    cascade: dynvit.Model, topk: dynvit.Model, photos: list[Path]
) -> None:
    answer = cascade(photos[0])
    assert answer.label == str(answer.index)
    assert answer.exit in (0, 1, 2)
    assert answer.top(1) == [(answer.label, answer.probability)]
    labels, chances = zip(*answer.top(99), strict=True)
    assert len(set(labels)) == 10
    assert sum(chances) == pytest.approx(1)
    assert "\n" not in repr(answer)
    assert topk(photos[0]).exit is None
    assert cascade.at(threshold_1=0.0)(photos[0]).exit == 0


def test_a_model_that_was_kept_answers_to_the_bit(
    cascade: dynvit.Model, topk: dynvit.Model, photos: list[Path], tmp_path: Path
) -> None:
    for model in (cascade, topk.at(keep_ratio=0.6)):
        again = dynvit.load(model.save(tmp_path / model.method))
        assert (again.point, again.options, again.class_names) == (model.point, model.options, model.class_names)
        assert again.opened.preprocessing == model.opened.preprocessing
        before, after = model(photos), again(photos)
        assert before == after
        assert all(torch.equal(a.probabilities, b.probabilities) for a, b in zip(before, after, strict=True))
        again.at(**dict.fromkeys(model.knobs, 1.0)).save(tmp_path / model.method)
        assert set(dynvit.load(tmp_path / model.method).point.values()) == {1.0}  # type: ignore[union-attr]


def test_another_models_folder_is_not_written_over(cascade: dynvit.Model, topk: dynvit.Model, tmp_path: Path) -> None:
    kept = topk.save(tmp_path / "kept")
    with pytest.raises(dynvit.InputError, match="holds another model, topk on vit_digits, got dvt on vit_digits"):
        cascade.save(kept)
    assert dynvit.load(kept).method == "topk"


def test_a_whole_float_is_a_number_of_images(topk: dynvit.Model) -> None:
    assert dynvit.evaluate(topk, limit=10.0).images == 10  # type: ignore[arg-type]


def test_an_edited_board_is_read_with_a_warning(made: Made, tmp_path: Path) -> None:
    body = json.loads((made["bench"] / "leaderboard.json").read_text())
    body["entries"][0]["top1_pct"] += 1
    edited = tmp_path / "edited.json"
    edited.write_text(json.dumps(body))
    with pytest.warns(UserWarning, match="something in it was edited"):
        assert dynvit.read_board(edited).entries[0].top1_pct == body["entries"][0]["top1_pct"]


def test_weights_that_tell_no_data_set_have_the_classes_of_their_head(made: Made, tmp_path: Path) -> None:
    file = tmp_path / "weights.safetensors"
    file.write_bytes((made["dense"] / "model.safetensors").read_bytes())
    model = dynvit.load("topk", backbone="vit_digits", weights=file, device="cpu")
    assert (model.classes, model.class_names, model.session.dataset.name) == (10, (), "")
    answer = model(torch.rand(3, 8, 8))
    assert answer.label == answer.index
    again = dynvit.load(model.at(keep_ratio=0.5).save(tmp_path / "served"))
    with pytest.raises(dynvit.InputError, match=r"no data set is named: give dataset, one of .*digits"):
        dynvit.evaluate(again)
    assert dynvit.evaluate(again, "digits", limit=20).images == 20


def test_imagenet_has_the_names_that_timm_gives_it(tmp_path: Path) -> None:
    weights = tmp_path / "weights.safetensors"
    save_file(build(BackboneSpec("vit_digits")).state_dict(), weights)
    for dataset in (None, "imagenet"):
        model = dynvit.load("topk", backbone="vit_digits", weights=weights, dataset=dataset)
        again = dynvit.load(model.save(tmp_path / str(dataset)))
        assert again.class_names == model.class_names
        assert again.class_names[281] == "tabby, tabby cat"
        assert again.session.has_data == (dataset is not None)


def test_evaluate_gives_the_record_of_the_bench(cascade: dynvit.Model, made: Made) -> None:
    record = next(r for r in RunStore(made["bench"] / "runs.jsonl").read() if r.method.name == "dvt")
    before = sorted(made["bench"].rglob("*"))
    found = dynvit.evaluate(cascade.at(record.point.knobs), limit=60)
    assert found.record.record_id == record.record_id
    assert (found.record.accuracy, found.record.compute) == (record.accuracy, record.compute)
    assert found.interval[0] <= found.top1 <= found.interval[1]
    assert (found.gmacs, found.saving_pct) == (record.compute.gmacs_mean, record.compute.saving_pct)
    assert sorted(made["bench"].rglob("*")) == before, "nothing is written"
    assert str(made["bench"]) not in found.record.command


def test_attack_gives_robust_accuracy_and_compute(cascade: dynvit.Model) -> None:
    left = dynvit.attack(cascade, "pgd", eps=8 / 255, limit=16, steps=3, masking_checks=False)
    assert {result.attack for result in left.results} == {"pgd"}
    assert {result.settings["steps"] for result in left.results} == {3}
    assert left.accuracy is not None
    assert left.gmacs is not None
    assert left.interval is not None
    assert left.interval[0] <= left.accuracy <= left.clean.top1
    assert left.gmacs >= left.clean.gmacs
    assert left.table().row_count > 0
    assert "8/255" in repr(left)


def test_bench_takes_models_and_patterns(topk: dynvit.Model, made: Made, tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    board = dynvit.bench(
        [topk, "dens*", str(made["dvt"])], points=2, limit=30, output=tmp_path / "out", robustness=None, speed=False
    )
    assert {entry.method for entry in board.entries} == {"topk", "dense", "dvt"}
    assert {entry.options.get("stages") for entry in board.entries if entry.method == "topk"} == {2}
    assert dynvit.read_board(tmp_path / "out" / "leaderboard.json") == board
    assert len(board.to_dataframe()) == len(board.entries)
    assert board.plot("front").axes
    assert repr(board).startswith("Board(digits validation, 30 images")
    assert torch.get_num_threads() == threads


def planned(monkeypatch: pytest.MonkeyPatch, *given: Any, **more: Any) -> dict[str, Any]:
    """The options of a bench that is not run."""

    def stop(suite: str | None, values: dict[str, Any], *, command: str) -> None:
        raise dynvit.InputError(repr(load_config(suite, values).model_dump()))

    monkeypatch.setattr("dynvit.api.comparing.plan_bench", stop)
    with pytest.raises(dynvit.InputError) as said:
        dynvit.bench(*given, **more)
    found: dict[str, Any] = literal_eval(str(said.value))
    return found


def test_bench_joins_what_is_given_and_keeps_the_weights_of_its_suite(
    topk: dynvit.Model, cascade: dynvit.Model, made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dvt, other, suite = str(made["dvt"]), str(made["dense"]), tmp_path / "suite.yaml"
    suite.write_text(f"weights: elsewhere\nmethod_checkpoint: [dense={other}]\n")
    joined = {"dvt": (dvt, "more"), "dense": (other,)}
    for checkpoints in (["dvt=more", f"dense={other}"], {"dvt": ["more"], "dense": [other]}):
        found = planned(monkeypatch, [cascade, "dense"], method_checkpoint=checkpoints)
        assert (found["method_checkpoint"], found["weights"]) == (joined, None)
    found = planned(monkeypatch, [cascade, "dense"], suite=suite)
    assert found["method_checkpoint"] == {"dvt": (dvt,), "dense": (other,)}
    assert found["weights"] is None, "every model has its checkpoint"
    assert planned(monkeypatch, [cascade, "random"], suite=suite)["weights"] == "elsewhere"
    assert planned(monkeypatch, [cascade, "random"], suite=suite, weights=other)["weights"] == other
    assert planned(monkeypatch, made["dvt"])["method_checkpoint"] == {"dvt": (dvt,)}


def test_a_data_set_may_be_a_path(topk: dynvit.Model) -> None:
    model = topk.at(keep_ratio=0.5)
    named, by_path = (dynvit.evaluate(model, name, limit=10).record for name in ("digits", Path("digits")))
    assert named.record_id == by_path.record_id


def test_lists_take_patterns() -> None:
    assert dynvit.list_methods("d*t") == ["dvt", "dynamicvit"]
    assert dynvit.list_methods(["d?nse", "top*"]) == ["dense", "topk"]
    assert dynvit.list_datasets("cifar*") == ["cifar10", "cifar100"]
    assert dynvit.list_attacks("apgd*") == ["apgd", "apgd-t"]
    assert dynvit.list_measurements("s*") == ["speed"]
    assert dynvit.list_checkpoints("dvt-deit*") == ["dvt-deit-s"]
    assert {"vit_digits", "deit_tiny_patch16_224"} <= set(dynvit.list_backbones())
    assert dynvit.list_methods("nothing*") == []


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_call_says_in_one_line_what_must_hold(
    wrong: str, cascade: dynvit.Model, topk: dynvit.Model, made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call, said = WRONG[wrong]
    monkeypatch.chdir(tmp_path)
    with pytest.raises(dynvit.InputError, match=said) as error:
        call(cascade, topk, made)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir()), "nothing is written"


@pytest.mark.slow
def test_the_page_about_the_api_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    blocks = re.findall(r"<!-- runs -->\n```python\n(.*?)```", page, re.S)
    assert len(blocks) > 5
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for number, block in enumerate(blocks, 1):
        exec(compile(block, f"docs/api.md, block {number}", "exec"), names)
    shown = set(re.findall(r"dynvit\.([a-z_]+)\(", page))
    assert shown == {name for name in dynvit.__all__ if name.islower() and name[0] != "_"}, "every call is shown"
