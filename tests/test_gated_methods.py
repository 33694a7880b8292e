"""A-ViT and AdaViT: the backbones that they serve, what they refuse, what their files hold, and how they learn."""

from __future__ import annotations

import argparse
import dataclasses
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import dynvit.backbones.small  # noqa: F401 - registers vit_digits with timm
from conformance_helpers import backbone_of, subject
from dynvit import cost
from dynvit.backbones.normalize import Normalize
from dynvit.errors import InputError
from dynvit.interface import Batch, DynamicModel, OperatingPoint, methods
from dynvit.options import parse_options
from dynvit.search import draw
from dynvit_methods.adavit import AdaViT, AdaViTModel, AdaViTOptions, Masks
from dynvit_methods.adavit.block import masked_block, packed_block
from dynvit_methods.adavit.checkpoints import THEIRS
from dynvit_methods.adavit.losses import distance, squared
from dynvit_methods.adavit.stages import decided, usage_loss
from dynvit_methods.avit import AViT, AViTModel, AViTOptions
from dynvit_methods.avit.training import prior_loss

GATED = ("avit", "adavit")
OPTIONS = (
    ("avit", "ends=never"),
    ("avit", "scale=2 center=1 epsilon=0.2"),
    ("adavit", "dimensions=tokens"),
    ("adavit", "dimensions=heads,layers static_blocks=0 init_logit=1"),
    ("adavit", "attention_gradient=yes usage=squared static_blocks=3"),
)


@pytest.mark.parametrize(("name", "options"), OPTIONS)
@torch.no_grad()
def test_both_forms_agree_under_every_option_and_claim_what_runs(name: str, options: str) -> None:
    of = subject(name, options)
    model = of.model()
    assert model.neutral is not None
    assert model.trained_point is not None
    for point in (model.neutral, model.trained_point, *draw(of.knobs(), seed=2, count=2)):
        keeps_its_promises(model, of.images, point)


@torch.no_grad()
def keeps_its_promises(model: DynamicModel, images: Tensor, point: OperatingPoint) -> None:
    """Masked = executed = frozen, in logits and MACs; claimed = executed MACs; an image alone is as in its batch."""
    decided, executed = model(images, point), model.predict(images, point)
    claimed = cost.macs(executed.usage)
    for other in (decided, model.forward_frozen(images, point, decided)):
        torch.testing.assert_close(other.logits, executed.logits)
        assert torch.equal(cost.macs(other.usage).long(), claimed)
    moved = model.forward_frozen(1 - images, point, decided)
    assert torch.equal(cost.macs(moved.usage).long(), claimed)
    torch.testing.assert_close(model.predict(images[1:2], point).logits, executed.logits[1:2])
    assert int(claimed.sum()) == cost.count_executed(lambda: model.predict(images, point))


@pytest.mark.parametrize("name", GATED)
@pytest.mark.parametrize(
    "backbone",
    [{"init_values": 0.5}, {"qk_norm": True, "qkv_bias": False}, {"no_embed_class": True}, {"pre_norm": True}],
    ids=["LayerScale", "normed queries and keys, no bias", "positions of patches only", "a norm before the blocks"],
)
@torch.no_grad()
def test_what_a_block_has_besides_is_applied_where_the_backbone_applies_it(name: str, backbone: dict[str, Any]) -> None:
    of = subject(name, **backbone)
    model, images = of.model(), of.images[:2]
    assert model.neutral is not None
    torch.testing.assert_close(
        model.predict(images, model.neutral).logits, model.backbone(Normalize.of(model.backbone)(images))
    )
    assert model.trained_point is not None
    for point in (model.trained_point, *draw(of.knobs(), seed=1, count=1)):
        keeps_its_promises(model, images, point)


@pytest.mark.parametrize("name", GATED)
@pytest.mark.parametrize(
    ("backbone", "given", "reason"),
    [
        ("vit_digits", {"reg_tokens": 2}, "register tokens"),
        ("vit_digits", {"class_token": False, "global_pool": "avg"}, "no class token"),
        ("deit_tiny_distilled_patch16_224", {}, "distillation token"),
        ("swin_tiny_patch4_window7_224", {}, "SwinTransformer"),
        ("levit_128s", {}, "Levit"),
    ],
)
def test_a_backbone_that_is_not_served_is_refused_by_name(
    name: str, backbone: str, given: dict[str, Any], reason: str
) -> None:
    kind, made = methods.get(name), backbone_of(backbone, **given)
    with pytest.raises(InputError, match=f"method {name} cannot serve backbone .*({reason}).*it takes"):
        kind().attach(made, kind.Options())


@pytest.mark.parametrize(
    ("name", "options", "point", "reason"),
    [
        ("avit", "", {"halting": 1.5}, r"halting must be from 0 \(never\) to 1 .*got 1.5"),
        ("avit", "epsilon=1", {}, "epsilon must be above 0 and below 1, got 1"),
        ("avit", "scale=0", {}, "scale must be above 0, got 0"),
        ("avit", "prior_deviation=0", {}, "prior_deviation must be above 0"),
        ("avit", "prior_depth=8", {}, "prior_depth must be from 0 to 1 of the blocks, got 8"),
        ("avit", "ponder_weight=-1", {}, "ponder_weight must be 0 or above"),
        ("adavit", "", {"layer_threshold": -1}, "layer_threshold must be from 0 .keep all. to 1 .*got -1"),
        ("adavit", "dimensions=depth", {}, "unknown dimension 'depth'.*heads, layers, tokens"),
        ("adavit", "static_blocks=6", {}, "static_blocks must be less than the backbone's 6 blocks, got 6"),
        ("adavit", "static_blocks=-1", {}, "static_blocks must be 0 or above"),
        ("adavit", "head_target=0", {}, "head_target must be above 0 and at most 1"),
        ("adavit", "temperature=0", {}, "temperature must be above 0"),
        ("adavit", "token_weight=-2", {}, "token_weight must be 0 or above"),
    ],
)
def test_wrong_input_gets_one_line_that_says_what_must_hold(
    name: str, options: str, point: dict[str, float], reason: str
) -> None:
    def ask() -> None:
        kind = methods.get(name)
        model = kind().attach(backbone_of("vit_digits"), parse_options(kind.Options, options.split()))
        model.predict(torch.rand(1, 3, 8, 8), OperatingPoint(**point))

    with pytest.raises(InputError, match=reason) as error:
        ask()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", GATED)
def test_budgets_out_of_range_name_the_range(name: str) -> None:
    of = subject(name)
    with pytest.raises(InputError, match=f"a budget of method {name} must be .* GMACs per image, got 1"):
        of.model().solve([1e9], [of.batch()])


# A-ViT


def test_tokens_that_halted_stay_halted_and_the_picture_says_so() -> None:
    of = subject("avit", "scale=3 center=2")
    model = of.model()
    assert isinstance(model, AViTModel)
    point = OperatingPoint(halting=0.4)
    found = AViT().explain(model, of.images, point)
    steps = model.predict(of.images, point).halted.steps
    assert len({int(step) for step in steps.flatten()}) > 2
    for told, own in zip(found, steps, strict=True):
        for block, work in enumerate(told.blocks):
            assert torch.equal(work.kept.flatten(), own[1:] > block)
            assert work.ran == bool((own > block).any())
        assert list(told.steps["tokens"]) == sorted(told.steps["tokens"], reverse=True)


def test_every_token_halts_after_the_first_block_at_one_and_after_the_last_at_zero() -> None:
    model = subject("avit").model()
    assert isinstance(model, AViTModel)
    for halting, blocks in ((0.0, 6), (1.0, 1)):
        halted = model.predict(torch.rand(2, 3, 8, 8).double(), OperatingPoint(halting=halting)).halted
        assert set(halted.steps.flatten().tolist()) == {blocks}


def test_a_ponder_weight_shortens_and_the_prior_is_a_distribution() -> None:
    scores = torch.rand(5, dtype=torch.float64, requires_grad=True)
    loss = prior_loss(scores, 3.0, 1.0)
    assert float(loss.detach()) > 0
    (gradient,) = torch.autograd.grad(loss, scores)
    # Raising all scores alike changes no distribution.
    assert float((gradient * scores.detach()).sum()) == pytest.approx(0, abs=1e-12)
    assert float(prior_loss(torch.zeros(5), 3.0, 1.0)) > 0

    model = subject("avit", "scale=2 center=2").model()
    assert isinstance(model, AViTModel)
    halted = model(torch.rand(2, 3, 8, 8).double(), model.trained_point).halted
    assert not torch.autograd.grad(halted.ponder.mean(), model.vit.model.patch_embed.proj.weight)[0].eq(0).all()


# AdaViT


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.3, 0.8, 1.0]), st.booleans())
@torch.no_grad()
def test_a_block_without_what_is_dropped_is_the_masked_one(seed: int, kept: float, scaled: bool) -> None:
    block = block_of(scaled)
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randn(5, 17, 48, generator=generator, dtype=torch.float64)
    layers, heads, patches = (torch.rand(5, n, generator=generator) < kept for n in (2, 3, 16))
    masks = Masks(layers, heads, patches)
    expected = masked_block(block, tokens, masks.to(torch.float64), attention_gradient=True)
    torch.testing.assert_close(packed_block(block, tokens.clone(), masks), expected)
    still = ~F.pad(patches, (1, 0), value=True) | ~masks.runs.unsqueeze(1)
    assert torch.equal(expected[still], tokens[still])


@cache
def block_of(scaled: bool) -> Any:
    torch.manual_seed(0)
    backbone = timm.create_model("vit_digits", init_values=0.5 if scaled else None)
    for parameter in backbone.parameters():
        parameter.data.normal_(std=0.2)
    return backbone.blocks[1].double().eval()


def test_a_target_becomes_the_share_that_is_expected_to_cost_it() -> None:
    backbone, method = backbone_of("vit_digits"), AdaViT()
    options = method.options_for(0.5, backbone, AdaViTOptions())
    assert options.layer_target == options.head_target == options.token_target < 0.9
    assert method.options_for(1.0, backbone, AdaViTOptions()).head_target == 1.0
    tokens_only = method.options_for(0.6, backbone, AdaViTOptions(dimensions=("tokens",)))
    assert 0.4 < tokens_only.token_target < 0.6 < options.token_target
    with pytest.raises(InputError, match=r"target of method adavit on this backbone must be .* to 1 .* got 0.01"):
        method.options_for(0.01, backbone, AdaViTOptions())


def test_usage_losses_are_zero_on_target_and_count_heads_where_blocks_run() -> None:
    half = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    assert float(distance(half, 0.5)) == float(squared(half, 0.5)) == 0
    assert float(distance(half, 0.25)) == 0.25
    assert float(squared(half, 0.25)) == 0.0625
    assert float(distance(half, 0.5, torch.tensor([[[1.0], [0.0]]]))) == 0
    assert float(distance(half, 0.5, diversity=0.1)) == pytest.approx(0.05)


def test_a_loss_sees_what_its_gates_sampled_and_its_options_weigh() -> None:
    of = subject("adavit")
    model = of.model().train()
    assert isinstance(model, AdaViTModel)
    for options in (AdaViTOptions(), AdaViTOptions(usage="squared"), AdaViTOptions(entropy=0.1, diversity=0.1)):
        torch.manual_seed(0)
        parts = usage_loss(options)(model, of.batch())
        weighted = sum(2 * float(parts.parts[name].detach()) for name in ("layers", "heads", "tokens"))
        assert float(parts.total.detach()) == pytest.approx(float(parts.parts["cls"].detach()) + weighted)
    masks, logits = decided(model(of.images, model.trained_point), "layers")
    assert masks.shape == logits.shape == (4, 5, 2)


@pytest.mark.parametrize("wanted", [False, True])
def test_attention_passes_a_gradient_to_token_gates_where_it_is_asked_to(wanted: bool) -> None:
    block, masks = block_of(False), Masks.keep_all(2, 3, 16, torch.ones(1, dtype=torch.float64))
    masks.tokens.requires_grad_()
    tokens = torch.randn(2, 17, 48, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    made = masked_block(block, tokens, masks, attention_gradient=wanted)
    (gradient,) = torch.autograd.grad(made[:, 0].sum(), masks.tokens, allow_unused=True)
    assert bool(gradient.abs().sum() > 0) == wanted


# Files in their authors' layout


def small_deit() -> nn.Module:
    torch.manual_seed(0)
    return timm.create_model(
        "deit_small_patch16_224", img_size=32, patch_size=8, embed_dim=128, depth=3, num_heads=2, num_classes=7
    )


def in_adavits_layout(model: AdaViTModel) -> dict[str, Tensor]:
    found = dict[str, Tensor]()
    for name, tensor in model.state_dict().items():
        parts = name.split(".")
        if parts[0] == "policies":
            found[f"module.blocks.{parts[1]}.{THEIRS[parts[3]]}.mlp_head.{parts[-1]}"] = tensor
        elif ".qkv." in name:
            for one, third in zip(("query", "key", "value"), tensor.chunk(3), strict=True):
                found["module." + name.removeprefix("backbone.").replace(".qkv.", f".{one}.")] = third
        else:
            found["module." + name.removeprefix("backbone.")] = tensor
    return found


def test_files_in_their_authors_layout_are_read(tmp_path: Path) -> None:
    images, ada = torch.rand(2, 3, 32, 32), AdaViTModel(small_deit(), AdaViTOptions(init_logit=0.3)).eval()
    torch.save({"state_dict_ema": in_adavits_layout(ada), "state_dict": {}, "epoch": 1}, tmp_path / "ada.pth.tar")
    avit = AViTModel(small_deit(), AViTOptions(scale=10.0, center=4.5)).eval()
    saved = {"model": avit.backbone.state_dict(), "args": argparse.Namespace(lr=1.0), "epoch": 2}
    torch.save(saved, tmp_path / "small-10-4.5.pth")
    for method, model, file in ((AdaViT(), ada, "ada.pth.tar"), (AViT(), avit, "small-10-4.5.pth")):
        loaded, point = method.load_published(str(tmp_path / file))
        assert torch.equal(loaded.predict(images, point).logits, model.predict(images, point).logits)
        assert loaded.options == dataclasses.replace(model.options, **({"init_logit": 0.0} if model is ada else {}))  # type: ignore[attr-defined]


def test_a_file_of_another_layout_is_refused_by_what_it_lacks(tmp_path: Path) -> None:
    deit = small_deit().state_dict()
    files: dict[str, Any] = {
        "small.pth": {"model": deit},
        "deit.pth": {"model": deit},
        "t2t.pth": {"state_dict": {"tokens_to_token.project.weight": torch.zeros(1)}},
        "lacks-1-2.pth": {"model": {name: one for name, one in deit.items() if name != "norm.weight"}},
        "empty-1-2.pth": {"model": {}},
    }
    for name, content in files.items():
        torch.save(content, tmp_path / name)
    for method, file, reason in (
        (AViT(), "small.pth", "does not say its γ and β"),
        (AViT(), "lacks-1-2.pth", "norm.weight"),
        (AViT(), "empty-1-2.pth", "holds no weights under 'model': it is not one of A-ViT's"),
        (AViT(), "none-1-2.pth", "no checkpoint at"),
        (AdaViT(), "deit.pth", "has no gates: it is a backbone's, to be given with --weights"),
        (AdaViT(), "t2t.pth", "is of a T2T-ViT, which is not read"),
        (AdaViT(), "empty-1-2.pth", "holds no weights under 'state_dict_ema' or 'state_dict' or 'model'"),
    ):
        with pytest.raises(InputError, match=reason):
            method.load_published(str(tmp_path / file))


# Training


@pytest.mark.slow
@pytest.mark.parametrize("name", GATED)
def test_a_few_steps_of_training_lower_the_loss(name: str) -> None:
    kind = methods.get(name)
    torch.manual_seed(0)
    model: DynamicModel = kind().attach(timm.create_model("vit_digits"), kind.Options())
    stage = kind().stages(model, kind.recipes["digits"])[0]
    if stage.begin is not None:
        stage.begin(model)
    groups = [{"params": list(group.parameters), "lr": group.lr} for group in stage.groups(model)]
    optimizer = torch.optim.AdamW(groups)
    images, labels = torch.rand(64, 3, 8, 8), torch.arange(64) % 10
    batch, losses = Batch(images, labels, F.one_hot(labels, 10).float()), []
    for _ in range(60):
        optimizer.zero_grad()
        loss = stage.loss(model.train(), batch)
        loss.total.backward()
        optimizer.step()
        losses.append(float(loss.parts["cls"].detach()))
    assert sum(losses[-10:]) < 0.8 * sum(losses[:10])
