"""DynamicViT's training: groups, rates, the teacher, and what it learns."""

from __future__ import annotations

import dataclasses

import pytest
import timm
import torch
from timm.layers import DropPath

import dynvit.backbones.small  # noqa: F401 - registers vit_digits with timm
from dynvit.errors import InputError
from dynvit.interface import Batch, ParamGroup, Recipe
from dynvit_methods.dynamicvit import DynamicViT, DynamicViTModel, DynamicViTOptions
from dynvit_methods.dynamicvit.losses import kl_loss, ratio_loss, token_loss
from dynvit_methods.dynamicvit.recipes import RECIPES, DynamicViTRecipe


def tiny(**options: object) -> DynamicViTModel:
    torch.manual_seed(0)
    backbone = timm.create_model("vit_digits", patch_size=1, embed_dim=16, num_heads=2, depth=4)
    return DynamicViTModel(backbone, DynamicViTOptions(**options))  # type: ignore[arg-type]


def groups(name: str) -> dict[str, ParamGroup]:
    model = tiny()
    return {group.name: group for group in DynamicViT().stages(model, RECIPES[name])[0].groups(model)}


def test_the_papers_recipe_freezes_then_caps_the_backbone_and_anneals_by_epoch() -> None:
    found = groups("neurips2021")
    predictors, backbone = found["predictors.matrices"], found["backbone.matrices"]
    assert predictors.lr == pytest.approx(1e-3)
    assert [backbone.lr * backbone.schedule(epoch, 30) for epoch in (0, 4.99, 5, 20)] == pytest.approx(
        [0, 0, 1e-5, 1e-5]
    )
    assert predictors.schedule(7.9, 30) == predictors.schedule(7, 30) > predictors.schedule(8, 30)
    assert predictors.lr * predictors.schedule(30, 30) == pytest.approx(1e-5)
    model = tiny()
    embeddings = {id(model.vit.model.cls_token), id(model.vit.model.pos_embed)}
    stage = DynamicViT().stages(model, RECIPES["neurips2021"])[0]
    assert not embeddings & {id(p) for group in stage.groups(model) for p in group.parameters}


def test_the_readmes_recipe_warms_up_and_trains_everything() -> None:
    found = groups("readme2023")
    assert found["backbone.matrices"].lr * found["backbone.matrices"].schedule(5, 30) == pytest.approx(1e-5)
    assert found["predictors.matrices"].schedule(2.5, 30) == pytest.approx(0.5, abs=1e-3)
    assert sum(len(group.parameters) for group in found.values()) == len(list(tiny().parameters()))
    decayed = [p for group in found.values() if group.weight_decay for p in group.parameters]
    assert all(p.ndim > 1 for p in decayed)


def test_the_base_variant_drops_paths_and_weighs_the_ratio_more() -> None:
    model = tiny()
    stage = DynamicViT().stages(model, RECIPES["readme2023-base"])[0]
    assert stage.begin is not None
    stage.begin(model)
    rates = [block.drop_path1.drop_prob for block in model.vit.blocks if isinstance(block.drop_path1, DropPath)]
    assert rates == pytest.approx([0, 0.2 / 3, 0.4 / 3, 0.2])
    assert not any(isinstance(module, DropPath) for teacher in stage.frozen for module in teacher.modules())


def test_another_methods_recipe_is_refused() -> None:
    with pytest.raises(InputError, match="trains with its own recipes: neurips2021"):
        DynamicViT().stages(tiny(), Recipe(epochs=1, batch_size=1, lr=1.0))


@pytest.mark.parametrize("ratio", [0.4, 0.8])
def test_training_finds_the_kept_share_and_leaves_the_teacher_alone(ratio: float) -> None:
    model = tiny(keep_ratio=ratio).train()
    recipe = dataclasses.replace(RECIPES["digits"], ratio_weight=10.0)
    (stage,) = DynamicViT().stages(model, recipe)
    (teacher,) = stage.frozen
    before = {name: tensor.clone() for name, tensor in teacher.state_dict().items()}
    optimizer = torch.optim.Adam([p for group in stage.groups(model) for p in group.parameters], lr=5e-3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(60):
        labels = torch.randint(0, 10, (8,), generator=generator)
        batch = Batch(
            torch.rand(8, 3, 8, 8, generator=generator), labels, torch.nn.functional.one_hot(labels, 10).float()
        )
        losses = stage.loss(model, batch)
        optimizer.zero_grad()
        losses.total.backward()
        optimizer.step()
    assert set(losses.parts) == {"cls", "ratio", "kl", "tokens", "kept"}
    assert float(losses.parts["kept"]) == pytest.approx(ratio**3, abs=0.1)
    assert all(torch.equal(tensor, before[name]) for name, tensor in teacher.state_dict().items())
    assert teacher is not model.backbone


def test_the_first_recipe_is_the_papers_and_datasets_have_their_own() -> None:
    assert next(iter(DynamicViT.recipes)) == "neurips2021"
    assert {"digits", "cifar10"} <= set(DynamicViT.recipes)
    assert all(isinstance(recipe, DynamicViTRecipe) and recipe.source for recipe in RECIPES.values())


def test_losses_vanish_where_nothing_is_wrong() -> None:
    tokens, logits = torch.randn(2, 5, 3), torch.randn(2, 7)
    half = torch.tensor([[1.0, 1, 0, 0], [0, 0, 1, 1]])
    assert ratio_loss([half], [0.5]) == 0
    assert ratio_loss([half.cumsum(0)], [0.75], "batch") < ratio_loss([half.cumsum(0)], [0.75], "image")
    assert kl_loss(logits, logits).abs() < 1e-6
    assert token_loss(tokens, torch.randn(2, 5, 3), torch.zeros(2, 5)) == 0
    assert token_loss(tokens, tokens + 1, torch.ones(2, 5), channels="sum") == pytest.approx(3)


def test_the_divergence_has_a_direction() -> None:
    sure, unsure = torch.tensor([[9.0, 0.0]]), torch.tensor([[0.0, 0.0]])
    assert kl_loss(unsure, sure) == kl_loss(sure, unsure, "student_teacher") != kl_loss(sure, unsure)
