"""EViT's training: the keep ratio falls as the authors let it fall, to the one that a target asks for."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import timm
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from training_helpers import Noise, accelerator, request, train_through_kills, weights_of

import dynvit.backbones.small  # noqa: F401 - registers vit_digits with timm
from dynvit import cost
from dynvit.backbones.build import BackboneSpec, build
from dynvit.checkpoint import load
from dynvit.divisions import as_shared, shared_for
from dynvit.errors import InputError
from dynvit.interface import Batch
from dynvit.recipe import Situation
from dynvit.recipes import choose_recipe
from dynvit.session import OpenModel
from dynvit.training.request import RunSettings
from dynvit.training.run import train_to
from dynvit.training.trainer import TrainerSettings, train
from dynvit_methods.dynamicvit.recipes import DIGITS as ANOTHERS
from dynvit_methods.evit import EViT, EViTModel, EViTOptions
from dynvit_methods.evit.training import DIGITS, FINETUNE, FROM_SCRATCH, RECIPES, EViTRecipe

PLAIN = EViTRecipe(epochs=1, batch_size=8, lr=1e-3)


@cache
def backbone(name: str = "vit_digits") -> nn.Module:
    """One that no test changes."""
    torch.manual_seed(0)
    return build(BackboneSpec(name, num_classes=10))


def batch() -> Batch:
    labels = torch.arange(8)
    return Batch(torch.rand(8, 3, 8, 8, generator=torch.Generator().manual_seed(1)), labels, torch.eye(10)[labels])


@given(st.floats(0, 0.5), st.floats(0, 0.5), st.floats(0.2, 1.0), st.floats(0, 1), st.floats(0, 1))
def test_the_ratio_never_rises_from_1_to_its_aim(start: float, length: float, aim: float, a: float, b: float) -> None:
    recipe = replace(PLAIN, shrink_start=start, shrink_for=length)
    earlier, later = (recipe.keep_ratio(done, aim) for done in sorted((a, b)))
    assert aim - 1e-12 <= later <= earlier + 1e-12
    assert earlier <= 1
    assert recipe.keep_ratio(1.0, aim) == pytest.approx(aim)
    assert start == 0 or recipe.keep_ratio(start / 2, aim) == 1


def test_the_scripts_ratios_come_back_at_their_epochs() -> None:
    at = [round(FROM_SCRATCH.keep_ratio(epoch / 300, 0.7), 3) for epoch in (0, 9.9, 10, 35, 60, 110, 300)]
    assert at == [1.0, 1.0, 1.0, 0.956, 0.85, 0.7, 0.7]
    assert FINETUNE.keep_ratio(0.0, 0.7) == 0.7
    assert (FROM_SCRATCH.lr, FINETUNE.lr) == (2e-3, 8e-5)


def test_each_situation_has_its_recipe() -> None:
    def chosen(backbone: str, dataset: str, size: int) -> str:
        return choose_recipe("evit", RECIPES, Situation(backbone, "vit", dataset, size)).name

    assert chosen("deit_small_patch16_224", "imagenet", 224) == "imagenet-finetune"
    assert chosen("deit_tiny_patch16_224", "cifar100", 64) == "cifar10"
    assert chosen("vit_digits", "digits", 8) == "digits"
    assert chosen("deit_tiny_patch16_224", "imagenette", 160) == "imagenette"


def test_a_shared_recipe_keeps_the_fall_as_a_share_of_its_own_epochs() -> None:
    shared = as_shared(DIGITS, shared_for(Situation("vit_digits", "vit", "digits", 8)))
    assert isinstance(shared, EViTRecipe)
    assert (shared.epochs, shared.shrink_for) == (20, 0.5)
    assert shared.keep_ratio(5 / 20, 0.6) == pytest.approx(0.8)


@torch.no_grad()
def test_prefix_tokens_are_no_share_of_what_is_kept() -> None:
    made = timm.create_model("vit_digits", num_classes=10, reg_tokens=3)
    options = EViT().options_for(0.6, made, EViTOptions())
    model = EViTModel(made, options).eval()
    assert model.neutral is not None
    dense, spent = (
        int(cost.macs(model.predict(batch().images[:1], point).usage)) for point in (model.neutral, model.trained_point)
    )
    assert 0.55 < spent / dense <= 0.6


@pytest.mark.parametrize("fuse", [True, False])
@pytest.mark.parametrize("name", ["vit_digits", "deit_tiny_patch16_224"])
@pytest.mark.parametrize("target", [0.45, 0.6, 0.8, 1.0])
@torch.inference_mode()
def test_a_target_is_met_by_the_point_that_is_trained(name: str, fuse: bool, target: float) -> None:
    options = EViT().options_for(target, backbone(name), EViTOptions(fuse=fuse))
    model = EViTModel(backbone(name), options).eval()
    images = torch.rand(1, 3, *backbone(name).pretrained_cfg["input_size"][1:])  # type: ignore[index, operator]
    assert model.neutral is not None
    dense = int(cost.macs(model.predict(images, model.neutral).usage))
    spent = [int(cost.macs(model.predict(images, model.trained_point).usage))]
    if target < 1:
        more = EViTModel(backbone(name), replace(options, train_keep=options.train_keep + 0.001))
        spent.append(int(cost.macs(more.eval().predict(images, more.trained_point).usage)))
        assert spent[1] > target * dense
    assert spent[0] <= target * dense


def test_steps_are_taken_at_the_ratio_of_their_moment_and_reach_every_weight() -> None:
    torch.manual_seed(0)
    model = EViTModel(build(BackboneSpec("vit_digits", num_classes=10)), EViTOptions(train_keep=0.5))
    [stage] = EViT().stages(model, replace(PLAIN, epochs=4, shrink_for=0.5))
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    done = train(model, [stage], PLAIN, Noise(steps=2), TrainerSettings(classes=10, quiet=True), accelerator())
    seen = [epoch.losses["keep_ratio"] for epoch in done.history]
    assert seen == pytest.approx([(1 + 0.927) / 2, (0.75 + 0.573) / 2, 0.5, 0.5], abs=1e-3)
    assert all(not torch.equal(before[name], parameter) for name, parameter in model.named_parameters())


def test_a_fall_that_is_killed_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EViT, "recipes", {"digits": replace(PLAIN, epochs=2, shrink_for=0.8)})
    asked, quiet = request(None, method="evit", limit_train=32, target=0.6), RunSettings(state_every=0, quiet=True)
    train_to(tmp_path / "whole", asked, quiet)
    train_through_kills(monkeypatch, tmp_path / "killed", asked, (2, 6), quiet)
    assert weights_of(tmp_path / "whole") == weights_of(tmp_path / "killed")


@pytest.mark.parametrize(
    ("options", "target", "reason"),
    [
        ({"train_keep": 0.1}, None, "train_keep must be 0.2 to 1, got 0.1"),
        ({"train_keep": float("nan")}, None, "train_keep must be 0.2 to 1, got nan"),
        ({}, 0.1, r"a target of method evit on this backbone must be 0.\d+ to 1 .*keep ratio 0.2 to 1.*got 0.1"),
        ({}, 1.5, "must be .* to 1 of the dense MACs .*got 1.5"),
    ],
)
def test_what_cannot_be_trained_for_is_refused(options: dict[str, float], target: float | None, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        EViT().options_for(target or 0.5, backbone(), EViTOptions(**options))  # type: ignore[arg-type]


def test_another_methods_recipe_is_refused() -> None:
    with pytest.raises(InputError, match="method evit trains with its own recipes: imagenet-finetune, imagenet"):
        EViT().stages(EViTModel(backbone(), EViTOptions()), ANOTHERS)


def test_the_point_that_training_aims_at_is_one_only_where_something_was_trained(tmp_path: Path) -> None:
    train_to(tmp_path / "m", request(None, method="evit", epochs=1, target=0.6))
    model, config = load(tmp_path / "m")
    assert model.trained_point is not None
    assert config.method.options["train_keep"] == model.trained_point.number("keep_ratio") < 0.7

    def opened(**more: object) -> OpenModel:
        common = {"label": "evit", "name": "evit", "method": EViT(), "options": EViTOptions(), "model": model}
        return OpenModel(**common, backbone=config.backbone_info, preprocessing=config.preprocessing, **more)  # type: ignore[arg-type]

    assert opened(config=config).trained_point == model.trained_point
    assert opened().trained_point is None
    assert opened(config=config.model_copy(update={"training": None})).trained_point is None
