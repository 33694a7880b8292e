"""The fine-tuned division: every model is trained alike, what it saw is recorded, and no front mixes divisions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from dynvit.api.benching import plan_bench
from dynvit.backbones.build import BackboneSpec, build
from dynvit.cli import main
from dynvit.divisions import SHARED, SharedRecipe, as_shared, shared_for
from dynvit.errors import InputError
from dynvit.interface import Recipe, methods, own_methods
from dynvit.leaderboard.naming import point_names
from dynvit.leaderboard.store import RunStore
from dynvit.recipe import Situation
from dynvit.recipes import choose_recipe
from dynvit.report import read_board
from dynvit.report.build import group
from dynvit.report.printing import division_line
from dynvit.training.request import TrainRequest
from dynvit.training.run import train_to

DIGITS = Situation("vit_digits", "vit", "digits", 8)
TRAINED = [name for name in own_methods() if methods.get(name).recipes]
COMMON = ("epochs", "batch_size", "augment", "weight_decay", "warmup_epochs", "min_lr", "ema_decay", "clip_grad")


def own_recipe(name: str) -> Recipe:
    return choose_recipe(name, methods.get(name).recipes, DIGITS).recipe


@pytest.mark.parametrize("name", TRAINED)
def test_every_method_has_the_numbers_of_the_division(name: str) -> None:
    shared = as_shared(own_recipe(name), shared_for(DIGITS))
    dense = as_shared(own_recipe("dense"), shared_for(DIGITS))
    assert [getattr(shared, field) for field in COMMON] == [getattr(dense, field) for field in COMMON]


@pytest.mark.parametrize("name", TRAINED)
def test_what_the_backbone_brought_learns_at_one_rate(name: str) -> None:
    shared = shared_for(DIGITS)
    method = methods.get(name)()
    model = method.attach(build(BackboneSpec("vit_digits", num_classes=10)), method.Options())
    rates = [
        group.lr
        for stage in method.stages(model, as_shared(own_recipe(name), shared))
        for group in stage.groups(model)
        if "backbone" in group.name or name == "dense"
    ]
    assert max(rates) == pytest.approx(shared.backbone_lr)


@pytest.mark.parametrize(
    ("dataset", "size", "name"),
    [("digits", 8, "digits"), ("cifar100", 64, "cifar"), ("imagenette", 160, "imagenette"), ("pets", 224, "any")],
)
def test_each_data_set_has_one(dataset: str, size: int, name: str) -> None:
    assert shared_for(Situation("deit_tiny_patch16_224", "vit", dataset, size)).name == name


def test_the_hash_is_of_the_numbers() -> None:
    hashes = {shared.sha256 for shared in SHARED}
    assert len(hashes) == len(SHARED)
    digits = SHARED[0]
    renamed = SharedRecipe(**vars(digits) | {"name": "another", "source": "elsewhere"})
    assert renamed.sha256 == digits.sha256
    assert SharedRecipe(**vars(digits) | {"epochs": 21}).sha256 != digits.sha256


def request(method: str, **more: Any) -> TrainRequest:
    return TrainRequest(
        method=method, backbone="vit_digits", dataset="digits", division="fine-tuned", epochs=1, limit_train=128, **more
    )


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"lr": 0.1}, "trains all models alike, got --lr"),
        ({"recipe": "digits", "batch_size": 32}, "got --recipe, --batch-size"),
        ({}, "learns at a target in the fine-tuned division: give --target"),
        ({"target": 0.01}, "a target must be 0.* to 1.000 of dense for method .* on this backbone, got 0.01"),
    ],
)
def test_what_breaks_the_division_is_refused(tmp_path: Path, asked: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        train_to(tmp_path / "m", request("topk", **asked))
    assert not (tmp_path / "m").exists()


def test_a_method_without_training_learns_at_its_target(tmp_path: Path) -> None:
    train_to(tmp_path / "m", request("topk", target=0.6))
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    assert 0.25 < config["point"]["keep_ratio"] < 1
    training = config["training"]
    assert training["division"] == "fine-tuned"
    assert training["images_seen"] == 128
    # Its forward masks what it drops: all tokens run, and backward is twice that.
    assert training["training_gmacs"] == pytest.approx(3 * 128 * 0.002056224, rel=0.05)


def test_a_method_without_a_knob_learns_at_its_only_point_and_whatever_is_not_read_has_no_part_in_it(
    tmp_path: Path,
) -> None:
    for name in ("dense", "classrow"):
        train_to(tmp_path / name, request(name))
    whole, last_row = (
        safetensors.torch.load_file(tmp_path / name / "model.safetensors") for name in ("dense", "classrow")
    )
    assert whole.keys() == last_row.keys()
    for name, weights in whole.items():
        torch.testing.assert_close(last_row[name], weights, rtol=1e-3, atol=1e-5)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seeds and two targets of three methods."""
    folder = tmp_path_factory.mktemp("bench") / "out"
    methods = ["--methods", "dense,topk,dynamicvit", "--targets", "0.6,0.8", "--seeds", "3,4"]
    small = ["--epochs", "1", "--limit-train", "128", "--points", "2", "--limit", "40", "--corruptions", "contrast"]
    more = ["--severities", "1", "--corruptions-limit", "20"]
    assert (
        main(["bench", "--dataset", "digits", "--division", "fine-tuned", *methods, *small, *more, "-o", str(folder)])
        == 0
    )
    return folder


@pytest.mark.slow
class TestBench:
    def test_all_have_seen_the_same_number_of_images_by_the_same_recipe_from_one_start(self, bench: Path) -> None:
        trainings = [entry.training for entry in read_board(bench / "leaderboard.json").entries]
        assert {(t.images_seen, t.recipe_sha256, t.start_sha256) for t in trainings if t} == {
            (128, trainings[0].recipe_sha256, trainings[0].start_sha256)  # type: ignore[union-attr]
        }
        assert {t.seed for t in trainings if t} == {3, 4}
        assert {t.target for t in trainings if t} == {None, 0.6, 0.8}

    def test_the_board_says_its_division(self, bench: Path) -> None:
        board = read_board(bench / "leaderboard.json")
        assert board.division == "fine-tuned"
        names = point_names(board)
        assert len({(entry.method, names[entry.record_id]) for entry in board.entries}) == len(board.entries)
        assert division_line(board).startswith("division fine-tuned: all by recipe fine-tuned-digits, 128 images")
        assert board.setting.shared_recipe_sha256 == board.entries[0].training.recipe_sha256  # type: ignore[union-attr]

    def test_the_spread_is_over_seeds_and_not_over_targets(self, bench: Path) -> None:
        board = read_board(bench / "leaderboard.json")
        training = {entry.record_id: entry.training for entry in board.entries}
        assert board.seeds
        for spread in board.seeds:
            assert len({training[one].target for one in spread.record_ids}) == 1  # type: ignore[union-attr]

    def test_later_seeds_are_measured_for_accuracy_alone(self, bench: Path) -> None:
        entries = read_board(bench / "leaderboard.json").entries
        followed = {entry.training.seed for entry in entries if "corruption" in entry.measurements}  # type: ignore[union-attr]
        assert followed == {3}

    def test_records_of_another_division_make_another_board(self, bench: Path) -> None:
        records = RunStore(bench / "runs.jsonl").read()
        free = records[0].training.model_copy(update={"division": "free"})  # type: ignore[union-attr]
        assert len(group(records)) == 1
        assert len(group([*records, records[0].model_copy(update={"training": free})])) == 2


def planned(**given: Any) -> list[str]:
    plan = plan_bench(None, {"methods": ("dense", "topk", "dynamicvit"), "dataset": "digits", **given})
    return [one.label for one in plan.preparation.planned if one.trained]


def test_a_division_trains_though_nobody_says_train() -> None:
    assert planned(division="fine-tuned", targets=(0.6,)) == ["dense", "topk-0.6", "dynamicvit-0.6"]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"train": False}, "--division fine-tuned trains every model: leave that out, or --no-train"),
        ({"recipe": "digits"}, "trains all models alike, got --recipe"),
        ({"lr": 0.1, "train_batch_size": 32}, "trains all models alike, got --lr, --train-batch-size"),
        ({"targets": ()}, "method topk has no training of its own, and learns at a target"),
        ({"targets": (0.01,)}, "a target must be .* got 0.01"),
    ],
)
def test_a_bench_refuses_before_it_trains_the_start(given: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        planned(**{"division": "fine-tuned", "targets": (0.6,), **given})


def test_a_mixture_is_refused_before_anything_is_trained_or_measured(tmp_path: Path) -> None:
    longer = request("topk", target=0.6).model_copy(update={"epochs": 2})
    for name, asked in (("dense", request("dense")), ("topk", request("topk", target=0.6)), ("longer", longer)):
        train_to(tmp_path / name, asked)
    folders = {name: str(tmp_path / name) for name in ("dense", "topk", "longer")}

    def mixed(*methods: str, checkpoints: dict[str, str], **given: Any) -> list[str]:
        paths = {name: (folders[folder],) for name, folder in checkpoints.items()}
        return planned(methods=methods, method_checkpoint=paths, weights=folders["dense"], **given)

    assert mixed("dense", "topk", checkpoints={"dense": "dense", "topk": "topk"}) == []
    with pytest.raises(InputError, match="cannot hold topk, of the fine-tuned division, and dense, of another: train"):
        mixed("dense", "topk", checkpoints={"topk": "topk"})
    with pytest.raises(InputError, match="cannot hold dense and topk, of the fine-tuned division both"):
        mixed("dense", "topk", checkpoints={"dense": "dense", "topk": "longer"})


def test_seeds_are_trainings_of_their_own_in_any_division() -> None:
    free = planned(train=True, seeds=(0, 3), methods=("dense", "dynamicvit"), targets=(0.6, 0.8))
    assert free == [f"dynamicvit-{target}{seed}" for seed in ("", "-seed3") for target in (0.6, 0.8)]


def test_targets_are_for_those_that_train_for_one_in_any_division() -> None:
    assert planned(train=True, methods=("dynamicvit", "dvt"), targets=(0.6,)) == ["dynamicvit-0.6", "dvt"]
    with pytest.raises(InputError, match="method DVT does not train for a target: leave out --targets"):
        planned(train=True, methods=("dvt", "topk"), targets=(0.6,))
    given = {"dynamicvit": ("trained/elsewhere",)}  # is trained for none here
    with pytest.raises(InputError, match="method DVT does not train for a target: leave out --targets"):
        planned(train=True, methods=("dvt", "dynamicvit"), method_checkpoint=given, targets=(0.6,))


def test_blocks_are_dropped_by_chance_in_no_model_of_the_division() -> None:
    large = Situation("deit_small_patch16_224", "vit", "imagenet", 224)
    for name in ("dvt", "evit", "thinkingvit", "adavit"):
        own = choose_recipe(name, methods.get(name).recipes, large).recipe
        assert own.drop_path == 0.1
        assert as_shared(own, shared_for(large)).drop_path == 0
