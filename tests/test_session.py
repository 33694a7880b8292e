"""One way in: what a checkpoint says of its data and sizes is adopted, and what contradicts it is refused by name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from bench_helpers import records
from data_helpers import pack_pets, write_tree
from session_helpers import keys_of, train

import dynvit
from dynvit.checkpoint import read_config
from dynvit.cli import main
from dynvit.data.packing import pack
from dynvit.errors import InputError
from dynvit.request import SessionRequest
from dynvit.session import Wanted, open_models, open_session

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """DynamicViT trained by seed 3, and a dense backbone at twice the native size."""
    folder = tmp_path_factory.mktemp("seeds")
    return {
        "seed3": train(folder / "seed3", "dynamicvit", "--seed", "3"),
        "data1": train(folder / "data1", "dynamicvit", "--data-seed", "1"),
        "large": train(folder / "large", "dense", "--image-size", "16"),
    }


def as_version_1(folder: Path, copy: Path) -> Path:
    """The checkpoint as the first version wrote it: it knew one seed, which drew the splits too."""
    copy.mkdir()
    body = json.loads((folder / "config.json").read_text())
    for name in ("data_seed", "calibration", "point"):
        body.pop(name)
    (copy / "config.json").write_text(json.dumps(body | {"format_version": 1}))
    (copy / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    return copy


def request(folder: Path, **more: Any) -> SessionRequest:
    return SessionRequest(method_checkpoint={"dynamicvit": (str(folder),)}, **more)


def test_the_seed_of_a_training_draws_no_splits(seeds: dict[str, Path]) -> None:
    config = read_config(seeds["seed3"])
    assert config.training is not None
    assert (config.training.seed, config.data_seed) == (3, 0)
    session = open_session(request(seeds["seed3"]))
    learned = keys_of(open_session(SessionRequest(dataset="digits")).split("train"))
    assert not learned & keys_of(session.split("validation"))
    assert not learned & keys_of(session.split("calibration"))


def test_splits_are_drawn_as_in_the_training_of_the_checkpoint(seeds: dict[str, Path]) -> None:
    session = open_session(request(seeds["data1"]))
    assert session.data_seed == 1
    learned = keys_of(open_session(SessionRequest(dataset="digits", data_seed=1)).split("train"))
    for split in ("validation", "calibration"):
        assert not learned & keys_of(session.split(split))


def test_a_checkpoint_of_the_first_version_is_not_measured_on_what_it_has_learned(
    seeds: dict[str, Path], tmp_path: Path
) -> None:
    """It drew its splits by the seed of its training; a bench that drew them by seed 0 would have leaked."""
    old = as_version_1(seeds["seed3"], tmp_path / "old")
    session = open_session(request(old))
    learned = keys_of(open_session(SessionRequest(dataset="digits", data_seed=3)).split("train"))
    assert session.data_seed == 3
    assert not learned & keys_of(session.split("validation"))
    assert learned & keys_of(open_session(SessionRequest(dataset="digits")).split("validation"))


def test_a_bench_reports_the_split_that_the_checkpoint_has_not_seen(seeds: dict[str, Path], tmp_path: Path) -> None:
    given = ["--method-checkpoint", f"dynamicvit={seeds['data1']}", "--points", "2", "-o", str(tmp_path / "out")]
    assert main(["bench", "--methods", "dynamicvit", *given]) == 0
    own = open_session(SessionRequest(dataset="digits", data_seed=1)).split("validation").manifest.sha256
    assert {record.dataset.manifest_sha256 for record in records(tmp_path / "out")} == {own}
    assert {record.seeds.data for record in records(tmp_path / "out")} == {1}


def test_what_a_training_says_to_bench_next_is_benched(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train(tmp_path / "m", "evit")  # none of those that are benched unless others are named
    said = capsys.readouterr().out.replace("\n", " ")
    words = said.partition(": dynvit bench ")[2].split()
    assert words[:2] == ["--methods", "evit"]
    assert main(["bench", *words, "--points", "1", "--limit", "32", "-o", str(tmp_path / "out")]) == 0


def test_checkpoints_of_two_data_seeds_are_refused_together(
    seeds: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    both = [f"--method-checkpoint=dynamicvit={seeds[name]}" for name in ("seed3", "data1")]
    assert main(["bench", "--methods", "dynamicvit", *both, "-o", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert str(seeds["seed3"]) in said
    assert str(seeds["data1"]) in said
    assert "data seed 0" in said
    assert "with 1" in said
    assert len(said.splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", ["bench", "attack", "speed", "explain"])
def test_every_command_refuses_another_data_seed(
    seeds: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    out = ["-o", str(tmp_path / "out")]
    given = {
        "bench": ["--methods", "dynamicvit", f"--method-checkpoint=dynamicvit={seeds['data1']}", *out],
        "attack": ["fgsm", "--checkpoint", str(seeds["data1"]), "--knob", "keep_ratio=0.7", *out],
        "speed": ["--checkpoint", str(seeds["data1"]), "--knob", "keep_ratio=0.7"],
        "explain": ["--method", "dynamicvit", "--checkpoint", str(seeds["data1"]), "--dataset", "digits", *out],
    }[command]
    assert main([command, *given, "--data-seed", "2"]) == 2
    said = capsys.readouterr().err
    assert "data seed 1" in said
    assert "--data-seed is 2" in said


def test_a_training_goes_on_with_the_splits_of_its_weights(seeds: dict[str, Path], tmp_path: Path) -> None:
    start = train(tmp_path / "dense", "dense", "--data-seed", "5")
    made = train(tmp_path / "topk", "dynamicvit", "--weights", str(start))
    assert read_config(made).data_seed == 5
    with pytest.raises(InputError, match="data seed 5"):
        open_session(SessionRequest(dataset="digits", weights=str(start), data_seed=0))


@pytest.mark.parametrize("given", ["the file", "a link to the file", "a link in the folder", "the home folder"])
def test_weights_bind_the_splits_however_they_are_named(
    seeds: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    file = seeds["data1"] / "model.safetensors"
    (tmp_path / "link.safetensors").symlink_to(file)
    monkeypatch.setenv("HOME", str(seeds["data1"].parent))
    stored = tmp_path / "stored"
    stored.mkdir()
    shutil.copy(seeds["data1"] / "config.json", stored)
    (stored / file.name).symlink_to(shutil.copy(file, tmp_path / "4f2a"))
    linked = stored / file.name
    named = {
        "the file": file,
        "a link in the folder": linked,
        "a link to the file": tmp_path / "link.safetensors",
        "the home folder": "~/data1",
    }[given]
    assert open_session(SessionRequest(dataset="digits", weights=str(named))).data_seed == 1


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Packed pets, a link to them, three images of the same classes, and what was trained on the pets."""
    root = tmp_path_factory.mktemp("folders")
    pets = pack_pets(root)
    write_tree(root / "raw-few", ["train"], 2)
    pack(root / "raw-few", root / "few", quiet=True)
    (root / "link").symlink_to(pets)
    request = ["--dataset", str(pets), "--backbone", "vit_digits", "--epochs", "1", "--calibration", "6"]
    made = root / "model"
    assert main(["train", "--method", "dense", *request, "--data-seed", "5", "-b", "8", "-o", str(made)]) == 0
    return {"pets": pets, "few": root / "few", "link": root / "link", "model": made}


@pytest.mark.parametrize("alias", ["a link", "another name"])
def test_a_folder_is_the_same_data_by_any_name(folders: dict[str, Path], alias: str) -> None:
    place = {"dataset": str(folders["link"])}
    if alias == "another name":
        place = {"dataset": "beasts", "data_dir": str(folders["pets"])}
    session = open_session(SessionRequest(method_checkpoint={"dense": (str(folders["model"]),)}, **place))
    trained = open_session(SessionRequest(dataset=str(folders["pets"]), data_seed=5, calibration=6))
    learned = keys_of(trained.split("train"))
    assert session.data_seed == 5
    assert not learned & keys_of(session.split("calibration"))
    with pytest.raises(InputError, match="data seed 5"):
        open_session(SessionRequest(method_checkpoint={"dense": (str(folders["model"]),)}, data_seed=4, **place))


def test_a_smaller_set_holds_out_as_many_as_it_can(folders: dict[str, Path]) -> None:
    asked = SessionRequest(method_checkpoint={"dense": (str(folders["model"]),)}, dataset=str(folders["few"]))
    assert len(open_session(asked).split("calibration")) == 1


def test_a_model_of_other_classes_is_not_measured_though_they_are_as_many(
    seeds: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DYNVIT_DATA", raising=False)
    with pytest.raises(InputError, match="the first difference is class 0, '0' there and 'airplane'"):
        dynvit.load(seeds["data1"], dataset="cifar10")
    with pytest.raises(InputError, match=r"other classes than weights .*: the first difference is class 0, '0' there"):
        dynvit.load("topk", backbone="vit_digits", weights=seeds["data1"], dataset="cifar10")


def test_images_are_explained_where_the_data_set_is_not(folders: dict[str, Path], tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folders["model"], copy)
    body = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(body | {"dataset": "unheard-of"}))
    assert open_models(SessionRequest(method_checkpoint={"dense": (str(copy),)})).dataset.num_classes == 2


def test_savings_are_held_against_the_backbone_at_the_size_of_the_checkpoint(
    seeds: dict[str, Path], tmp_path: Path
) -> None:
    """Held against the default size, this one had "saved" −369.8 %."""
    given = ["--method-checkpoint", f"dense={seeds['large']}", "-o", str(tmp_path / "out")]
    assert main(["bench", "--methods", "dense", *given]) == 0
    [record] = records(tmp_path / "out")
    assert record.backbone.image_size == (16, 16)
    assert record.compute.saving_pct == pytest.approx(0)
    session = open_session(SessionRequest(method_checkpoint={"dense": (str(seeds["large"]),)}))
    assert session.dense_gmacs == record.compute.dense_gmacs


def test_weights_trained_here_bring_their_size(seeds: dict[str, Path]) -> None:
    session = open_session(SessionRequest(dataset="digits", weights=str(seeds["large"])))
    assert session.open(Wanted.of("topk")).preprocessing.image_size == 16


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"image_size": 8}, "image size 16, and --image-size is 8"),
        ({"backbone": "vit_cifar"}, "backbone vit_digits, and --backbone is vit_cifar"),
        ({"calibration": 9}, "calibration images 143, and --calibration is 9"),
        ({"dataset": "cifar10"}, "no place to read cifar10"),
    ],
)
def test_what_contradicts_a_checkpoint_is_refused_with_both_named(
    seeds: dict[str, Path], asked: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DYNVIT_DATA", raising=False)
    large = SessionRequest(method_checkpoint={"dense": (str(seeds["large"]),)}, **asked)
    with pytest.raises(InputError, match=said):
        open_session(large).split()
