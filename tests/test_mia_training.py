"""MIA-Former's three stages on models: where each ends, what it changes, and that it can be killed."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from mia_helpers import drawn_backbone
from torch import Tensor
from training_helpers import Noise, accelerator, train_through_kills

from dynvit.backbones.normalize import Normalize
from dynvit.checkpoint import load
from dynvit.data import open_split
from dynvit.data.pixels import PixelBatches, to_pixels
from dynvit.errors import InputError
from dynvit.interface import Augment, Batch, Recipe, Stage
from dynvit.training.run import RunSettings, TrainRequest, train_to
from dynvit.training.trainer import TrainerSettings, TrainingSummary, train
from dynvit_methods.mia import MIAFormer, MIAModel, MIAOptions
from dynvit_methods.mia.agents import become_agents, keep_share
from dynvit_methods.mia.recipes import RECIPES, MIARecipe
from dynvit_methods.mia.reinforce import actor_critic
from dynvit_methods.mia.sampling import acting, decided, noisy, spent, steps
from dynvit_methods.mia.stages import reinforced, skips_nothing

SHORT = MIARecipe(
    epochs=4,
    batch_size=8,
    lr=5e-3,
    augment=Augment(flip=0.0),
    keep_lr=2e-2,
    keep_epochs=20,
    keep_share=1.0,
    backbone_lr=0.1,
    cotrain=0.5,
    agents=0.25,
    hybrid=0.25,
    cost_scale=1.0,
    reward="signed",
)


def tiny(**options: object) -> MIAModel:
    torch.manual_seed(0)
    backbone = drawn_backbone(embed_dim=16, num_heads=2, depth=3, patch_size=2)
    model = MIAFormer().attach(backbone, MIAOptions(**options))  # type: ignore[arg-type]
    assert isinstance(model, MIAModel)
    return model


def named(model: MIAModel, recipe: MIARecipe = SHORT) -> dict[str, Stage]:
    return {stage.name: stage for stage in MIAFormer().stages(model, recipe)}


def run(model: MIAModel, stage: Stage, steps: int = 4) -> TrainingSummary:
    settings = TrainerSettings(classes=10, quiet=True)
    return train(model, [stage], SHORT, Noise(steps=steps), settings, accelerator())


def batch(count: int = 16) -> Batch:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(10, (count,), generator=generator)
    return Batch(torch.rand(count, 3, 8, 8, generator=generator), labels, torch.eye(10)[labels])


def cost(model: MIAModel, images: Tensor) -> float:
    """What the trained model spends without noise, as a fraction of its backbone."""
    with torch.no_grad():
        return float(spent(model, model.eval()(images, model.trained_point).masks, model.dense_macs()).mean())


@pytest.mark.parametrize("dimensions", [("depth", "heads", "tokens"), ("heads",)])
def test_the_first_stage_ends_when_nothing_is_skipped_and_leaves_the_backbone(dimensions: tuple[str, ...]) -> None:
    model = tiny(init_logit=-1.0, dimensions=dimensions)
    images = batch().images
    assert not skips_nothing(model.eval(), images)
    before = {name: tensor.clone() for name, tensor in model.backbone.state_dict().items()}
    stage = named(model)["keep"]
    summary = run(model, stage, steps=8)
    assert 1 < summary.epochs < stage.epochs
    assert skips_nothing(model, images)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.backbone.state_dict().items())
    with torch.no_grad():
        expected = model.backbone(Normalize.of(model.backbone)(images))
        torch.testing.assert_close(model(images, model.trained_point).logits, expected, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(model.predict(images, model.trained_point).logits, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("target", "init_logit", "sign"), [(0.4, 2.0, -1), (1.0, 0.0, 1)])
def test_cotraining_moves_the_cost_towards_the_target_from_either_side(
    target: float, init_logit: float, sign: int
) -> None:
    model = tiny(target=target, init_logit=init_logit)
    images, before = batch().images, cost(model, batch().images)
    history = run(model, named(model)["co-train"], steps=20).history
    assert sign * (cost(model, images) - before) > 0.02
    assert sign * history[0].losses["alpha"] < 0
    assert history[0].losses["target_gmacs"] * 1e9 == pytest.approx(target * model.dense_macs())


def test_agents_inherit_three_quarters_and_keep_every_name_and_shape() -> None:
    model = tiny()
    with torch.no_grad():
        for parameter in model.controllers.parameters():
            parameter.copy_(torch.randn(parameter.shape) + 10)  # nothing that is drawn anew comes near
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    become_agents(model, "inherited", 1.0)
    after = dict(model.named_parameters())
    assert {n: p.shape for n, p in before.items()} == {n: p.shape for n, p in after.items()}
    for name, old in before.items():
        changed = int((after[name] != old).sum())
        if "_critic." in name:
            assert changed == old.numel()
        elif "_actor." in name or name.startswith("backbone"):
            assert changed == 0
        else:
            assert changed == old.numel() - round(0.75 * old.numel())
    become_agents(model, "redrawn", 1.0)
    actors = {name: p for name, p in model.named_parameters() if "_actor." in name}
    assert not any(torch.equal(p, before[name]) for name, p in actors.items())
    assert all(not p.any() for name, p in actors.items() if name.endswith("bias"))


@pytest.mark.parametrize("noise", [1.0, 0.5])
@pytest.mark.parametrize(
    "options", [{}, {"dimensions": ("tokens",)}, {"static_blocks": 1}], ids=["all", "tokens", "a static block"]
)
def test_a_new_policy_starts_at_the_target(options: dict[str, object], noise: float) -> None:
    model = tiny(target=0.7, **options)
    become_agents(model, "usage", noise)
    with torch.no_grad():
        for name, parameter in model.controllers.named_parameters():
            if "_actor.weight" in name:
                parameter.zero_()
        torch.manual_seed(0)
        prediction = model.masked(batch(512).images, acting(noise))
    assert 0.01 < keep_share(model) < 0.999
    assert float(spent(model, prediction.masks, model.dense_macs()).mean()) == pytest.approx(0.7, abs=0.02)


def test_the_policys_gradient_stays_in_the_controllers_unless_asked() -> None:
    found = {}
    for scope in ("controllers", "all"):
        model = tiny(policy_gradient=scope).train()
        reinforced(model, batch(), SHORT, model.dense_macs())[0].total.backward()
        found[scope] = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert not any(name.startswith("backbone") for name in found["controllers"])
    assert any(name.startswith("backbone.blocks") for name in found["all"])
    assert {name for name in found["all"] if name.startswith("controllers")} == found["controllers"]


def test_critics_are_needed_where_actions_are_evaluated() -> None:
    model = tiny()
    with pytest.raises(ValueError, match="critics"):
        steps(model.masked(batch().images, acting(1.0)), 1.0)
    actions = steps(model.masked(batch().images, acting(1.0), values=True), 1.0)
    assert len(actions) == 3 * len(model.adapter.gates)
    assert float(actor_critic(actions, torch.ones(16)).entropy.detach()) > 0


def test_noise_is_a_gumbel_sigmoids_at_1_and_none_at_0() -> None:
    model = tiny(init_logit=1.0).eval()
    with torch.no_grad():
        for name, parameter in model.controllers.named_parameters():
            if "_actor.weight" in name:
                parameter.zero_()
        torch.manual_seed(0)
        for noise, kept in ((1.0, torch.sigmoid(torch.tensor(1.0))), (0.5, torch.sigmoid(torch.tensor(2.0))), (0.0, 1)):
            masks = model.masked(batch(256).images, noisy(noise, 1.0)).masks
            assert float(torch.stack([m.tokens for m in masks]).mean()) == pytest.approx(float(kept), abs=0.015)
        assert all(bool(m.tokens.all()) for m in decided(model.masked(batch().images, noisy(1.0, 1.0))))


def test_the_papers_recipe_is_the_papers() -> None:
    recipe = RECIPES["imagenet-deit"]
    assert isinstance(recipe, MIARecipe)
    stages = named(tiny(), recipe)
    assert [(s.name, s.epochs) for s in stages.values()][1:] == [("co-train", 200), ("agents", 20), ("hybrid", 30)]
    assert (stages["keep"].optimizer, stages["co-train"].optimizer, recipe.batch_size) == ("adam", "adamw", 1024)
    rates = {name: {g.name: g.lr for g in stage.groups(tiny())} for name, stage in stages.items()}
    assert rates["keep"] == {"controllers": 1e-4, "controllers.vectors": 1e-4}
    assert rates["co-train"] == pytest.approx(
        {"controllers": 1e-3, "controllers.vectors": 1e-3, "backbone": 1e-5, "backbone.vectors": 1e-5}
    )
    assert set(rates["agents"]) == {"agents", "agents.vectors"}
    choices = recipe.choices(MIAOptions())
    assert (choices.cost_scale, choices.reward, choices.noise) == (0.1, "paper", 1.0)
    assert recipe.choices(MIAOptions(cost_scale=0.3, reward="signed")).reward == "signed"
    assert list(named(tiny(reinforce=False), recipe)) == ["keep", "co-train"]
    tenth = dataclasses.replace(recipe, epochs=25)
    assert [s.epochs for s in named(tiny(), tenth).values()][1:] == [20, 2, 3]


def test_another_methods_recipe_is_refused() -> None:
    with pytest.raises(InputError, match="trains with its own recipes: imagenet-deit"):
        MIAFormer().stages(tiny(), Recipe(epochs=1, batch_size=1, lr=1.0))


def request(**more: object) -> TrainRequest:
    asked: dict[str, object] = {"method": "mia", "backbone": "vit_digits", "dataset": "digits", "target": 0.7}
    return TrainRequest(**(asked | more))  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_training_that_is_killed_in_any_stage_ends_in_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MIAFormer, "recipes", {"digits": SHORT})
    asked, quiet = request(limit_train=24), RunSettings(state_every=0, quiet=True)
    train_to(tmp_path / "whole", asked, quiet)
    train_through_kills(monkeypatch, tmp_path / "killed", asked, (2, 5, 8, 12, 16), quiet)
    whole, killed = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "killed"))
    assert whole == killed


@pytest.mark.slow
def test_on_digits_the_three_stages_meet_the_target(tmp_path: Path) -> None:
    dense = request(method="dense", target=None, epochs=10)
    weights = train_to(tmp_path / "dense", dense, RunSettings(quiet=True)) / "model.safetensors"
    made = train_to(tmp_path / "mia", request(weights=str(weights)), RunSettings(quiet=True))
    model, config = load(made)
    assert isinstance(model, MIAModel)
    batches = PixelBatches(open_split("digits", "validation"), config.preprocessing)
    spending = torch.tensor([cost(model, to_pixels(batch.images)) for batch in batches])
    assert float(spending.mean()) == pytest.approx(0.7, rel=0.05)
