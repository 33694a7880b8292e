"""ThinkingViT: nested rounds, really skipped; the backbones that have them; thresholds, layouts, explanations."""

from __future__ import annotations

import argparse
import dataclasses
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from bench_helpers import records
from hypothesis import given
from hypothesis import strategies as st
from session_helpers import train
from torch import Tensor, nn

import dynvit.backbones.small
import dynvit.backbones.t2t  # noqa: F401 - both register backbones with timm
from conformance_helpers import check_law
from dynvit import cost
from dynvit.cli import main
from dynvit.errors import InputError
from dynvit.exits.thresholds import Confidences, solve_shared
from dynvit.interface import Batch, OperatingPoint
from dynvit.testing import Law, Subject
from dynvit.testing.capabilities import frozen_gates_repeat_decisions, solved_budgets_are_kept
from dynvit.testing.laws import (
    claimed_macs_are_executed,
    gradients_reach_every_trained_part,
    sweeping_equals_predicting,
)
from dynvit_methods.thinkingvit import ThinkingViT
from dynvit_methods.thinkingvit.model import ThinkingViTModel
from dynvit_methods.thinkingvit.options import ThinkingViTOptions
from dynvit_methods.thinkingvit.published import load_published
from dynvit_methods.thinkingvit.recipes import RECIPES, groups

TINY = {"img_size": 8, "patch_size": 2, "depth": 2, "num_classes": 10}


def drawn(name: str = "vit_digits", **given: Any) -> nn.Module:
    torch.manual_seed(0)
    backbone = timm.create_model(name, **given).double().eval()
    for parameter in backbone.parameters():
        parameter.data.add_(torch.randn_like(parameter) * 0.1)
    return backbone


def thinking(rounds: tuple[int, ...] = (), alpha: float = 0.7, **given: Any) -> ThinkingViTModel:
    model = ThinkingViTModel(drawn(**given), ThinkingViTOptions(rounds)).double().eval()
    for scale in model.alpha:
        scale.data.fill_(alpha)
    return model


def images(count: int = 6) -> Tensor:
    return torch.rand(count, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def at(*thresholds: float) -> OperatingPoint:
    return OperatingPoint(**{f"threshold_{k + 1}": value for k, value in enumerate(thresholds)})


def narrowed(name: str, tensor: Tensor, share: float) -> Tensor:
    """A wide ViT's tensor as a stock ViT of fewer heads has it; by axes, apart from the method's own slices."""
    if ".qkv." in name:
        return torch.cat([narrowed("", part, share) for part in tensor.chunk(3)])
    kept = [
        size if name.startswith("head.") and axis == 0 else int(size * share) for axis, size in enumerate(tensor.shape)
    ]
    if name in ("pos_embed", "cls_token"):
        kept = [*tensor.shape[:-1], int(tensor.shape[-1] * share)]
    if name == "patch_embed.proj.weight":
        kept = [int(len(tensor) * share), *tensor.shape[1:]]
    if "q_norm" in name or "k_norm" in name:
        kept = list(tensor.shape)
    return tensor[tuple(slice(size) for size in kept)]


VARIANTS: tuple[dict[str, Any], ...] = (
    {},
    {"init_values": 0.5, "qk_norm": True},
    {"no_embed_class": True, "qkv_bias": False, "mlp_ratio": 3},
)


@pytest.mark.parametrize("variant", VARIANTS, ids=["plain", "scaled and normed", "other"])
@torch.no_grad()
def test_a_round_is_a_stock_vit_of_its_heads(variant: dict[str, Any]) -> None:
    model = thinking((1, 2, 3), alpha=0.0, **variant)
    wide = model.backbone.state_dict()
    every = model(images(), at(0, 0)).exit_logits
    for heads, logits in zip((1, 2, 3), every, strict=True):
        narrow = timm.create_model("vit_digits", embed_dim=16 * heads, num_heads=heads, **variant).double().eval()
        narrow.load_state_dict({name: narrowed(name, tensor, heads / 3) for name, tensor in wide.items()})
        torch.testing.assert_close(logits, narrow(model.nested.vit.normalize(images())), rtol=0, atol=1e-12)


TRIED = (
    claimed_macs_are_executed,
    sweeping_equals_predicting,
    gradients_reach_every_trained_part,
    solved_budgets_are_kept,
    frozen_gates_repeat_decisions,
)


@pytest.mark.parametrize("law", TRIED, ids=lambda law: law.__name__)
def test_three_rounds_keep_the_laws_that_two_keep(law: Law) -> None:
    subject = Subject.of("thinkingvit", options=ThinkingViTOptions((1, 2, 3)))
    check_law(law, dataclasses.replace(subject, make_backbone=lambda: drawn(depth=2)))


@torch.no_grad()
def test_a_round_runs_only_for_images_that_the_one_before_is_unsure_of() -> None:
    model, shown = thinking((1, 2, 3)), images(12)
    entropies = model(shown, at(0, 0)).scores
    point = at(float(entropies[0].median()), float(entropies[1].median()))
    seen: list[int] = []
    model.backbone.blocks[0].register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    found = model.predict(shown, point)
    assert found.usage.exit is not None
    assert len(set(found.usage.exit.tolist())) == 3
    assert seen == [int((found.usage.exit == 2).sum())]
    assert cost.count_executed(lambda: model.predict(shown, point)) == int(cost.macs(found.usage).sum())


@torch.no_grad()
def test_an_image_leaves_below_its_threshold_and_not_at_it() -> None:
    model = thinking()
    entropy = float(model(images(1), at(0)).scores[0, 0])
    exits = [model.predict(images(1), at(t)).usage.exit for t in (0.0, entropy, np.nextafter(entropy, 9), 2.5, 99.0)]
    assert [int(each) for each in exits if each is not None] == [1, 1, 0, 0, 0]


@given(st.lists(st.lists(st.integers(0, 5), min_size=7, max_size=7), min_size=1, max_size=2), st.floats(1.0, 8.0))
def test_one_threshold_for_all_rounds_spends_the_most_within_the_budget(rows: list[list[int]], budget: float) -> None:
    scores, costs = np.array(rows) / 6, (1.0, 3.0, 8.0)[: len(rows) + 1]
    known = Confidences(scores, np.ones((len(costs), 7), bool), costs)
    (found,) = solve_shared(known, [budget])
    rivals = [known.measure((level,) * len(rows))[0] for level in (0.0, *np.unique(scores).tolist(), 1.0)]
    assert len(set(found)) == 1
    assert known.measure(found)[0] == pytest.approx(max(spent for spent in rivals if spent <= budget))


def test_a_threshold_for_each_round_is_never_less_accurate_on_calibration_than_one_for_all() -> None:
    model, shown = thinking((1, 2, 3)), images(40)
    labels = torch.randint(0, 10, (40,), generator=torch.Generator().manual_seed(2))
    calibration = [Batch(shown, labels, nn.functional.one_hot(labels, 10).double())]
    known = model.confidences(calibration)
    budgets = np.linspace(*model.feasible_range(calibration), 5).tolist()
    for own, shared in zip(model.solved_for_accuracy(known, budgets), model.solved(known, budgets), strict=True):
        assert known.measure(own)[1] >= known.measure(shared)[1]


REFUSED = {
    "t2t_vit_12": "PatchEmbed|TokensToToken",
    "levit_128s": "not a timm VisionTransformer",
    "swin_tiny_patch4_window7_224": "not a timm VisionTransformer",
    "deit_tiny_distilled_patch16_224": "distillation token",
    "vit_base_patch16_clip_224": "norm_pre",
}


@cache
def known_backbone(name: str) -> nn.Module:
    with torch.device("meta"):
        return timm.create_model(name)


@pytest.mark.parametrize("name", REFUSED)
def test_a_backbone_without_narrow_forms_is_refused_by_name(name: str) -> None:
    with pytest.raises(InputError, match=f"(?s)thinkingvit cannot serve backbone '{name}.*({REFUSED[name]})"):
        ThinkingViT().attach(known_backbone(name), ThinkingViTOptions())


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"scale_attn_norm": True}, "LayerNorm in attention"),
        ({"norm_layer": "rmsnorm"}, "RmsNorm"),
        ({"class_token": False, "global_pool": "avg"}, "class token|prefix tokens"),
        ({"reg_tokens": 2}, "class token|prefix tokens"),
        ({"num_heads": 1}, "two heads or more"),
    ],
)
def test_what_has_no_narrow_form_is_said(given: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        thinking(**given)


@pytest.mark.parametrize("rounds", [(3,), (1, 2, 3, 4), (2, 1), (1, 1), (0, 3), (1, 2)])
def test_rounds_rise_to_all_heads_in_two_or_three_steps(rounds: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="rounds must"):
        thinking(rounds)


@pytest.mark.parametrize("values", [{}, {"threshold_1": -0.1}, {"threshold_1": 0.5, "threshold_2": 0.5}])
def test_thresholds_are_one_a_gate_and_not_negative(values: dict[str, float]) -> None:
    with pytest.raises(InputError, match=r"threshold_1.* 0 or more"):
        thinking().predict(images(1), OperatingPoint(**values))


def released(rounds: tuple[int, ...], wide: int) -> dict[str, Tensor]:
    """Drawn tensors in the published layout of ``wide`` heads, which is the present one where a round has as many."""
    sizes = {"img_size": 32, "patch_size": 16, "depth": 1, "embed_dim": 64 * wide, "num_heads": wide, "num_classes": 7}
    state = {
        name: torch.randn(t.shape)
        for name, t in timm.create_model("deit_small_patch16_224", **sizes).state_dict().items()
    }
    for index, heads in enumerate(rounds[:-1]):
        name = ("proj_layer", "proj_layer2")[index]
        state[f"{name}.weight"], state[f"{name}.bias"] = torch.randn(64 * wide, 64 * heads), torch.randn(64 * wide)
    alphas = len(rounds) - 1 if rounds[-1] == wide else 12
    return state | {f"alpha.{index}": torch.randn(1) for index in range(alphas)}


@pytest.mark.parametrize("rounds", [(1, 2), (1, 2, 3)])
@pytest.mark.parametrize("form", ["pth", "safetensors"])
@torch.no_grad()
def test_the_older_layout_is_the_present_one_in_a_wider_file(
    rounds: tuple[int, ...], form: str, tmp_path: Path
) -> None:
    """The file says its rounds by the training's arguments, or by its name."""
    older, heads = released(rounds, 4), rounds[-1]
    width = 64 * heads
    present = {name: narrowed(name, tensor, heads / 4) for name, tensor in older.items() if "proj_layer" not in name}
    present = {name: older[name] if name.startswith("alpha") else tensor for name, tensor in present.items()}
    present |= {name: tensor[:width] for name, tensor in older.items() if "proj_layer" in name}
    present = {
        name: tensor
        for name, tensor in present.items()
        if name not in [f"alpha.{k}" for k in range(len(rounds) - 1, 12)]
    }
    files = [tmp_path / f"a.{form}", tmp_path / f"x_{'_'.join(map(str, rounds))}.{form}"]
    for path, state in zip(files, (present, older), strict=True):
        if form == "safetensors":
            from safetensors.torch import save_file

            save_file({name: tensor.contiguous() for name, tensor in state.items()}, path)
        else:
            named = {f"module.{name}": tensor for name, tensor in state.items()}
            torch.save({"state_dict_ema": named, "state_dict": {}, "args": argparse.Namespace(lr=1.0)}, path)
    one, other = (load_published(str(path)) for path in files)
    shown, point = torch.rand(2, 3, 32, 32), at(*(0.0 for _ in rounds[1:]))
    assert one.rounds == other.rounds == rounds
    assert torch.equal(one(shown, point).exit_logits, other(shown, point).exit_logits)


def test_the_arguments_of_a_training_name_the_rounds_of_the_older_layout(tmp_path: Path) -> None:
    path = tmp_path / "last.pth.tar"
    torch.save({"state_dict": released((1, 2), 4), "args": argparse.Namespace(thinking_stages=[1, 3])}, path)
    assert ThinkingViT().load_published(str(path))[0].rounds == (1, 3)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda state: state.pop("proj_layer.weight"), "not a released ThinkingViT"),
        (lambda state: state.pop("alpha.0"), "not a released ThinkingViT"),
        (lambda state: state.pop("head.weight"), "head.weight"),
        (lambda state: state.update({"blocks.0.norm1.weight": torch.ones(3)}), "norm1.weight"),
        (lambda state: state.update({"odd": torch.ones(3)}), "odd"),
        (lambda state: state.update({"cls_token": torch.tensor(1.0)}), "other shapes"),
        (lambda state: state.update({"proj_layer.weight": torch.tensor(1.0)}), "other shapes"),
        (lambda state: state.update({"proj_layer.weight": torch.ones(128, 128)}), "rising"),
        (lambda state: state.update({"proj_layer.weight": torch.ones(128, 60)}), "heads of 64"),
        (lambda state: state.update({"alpha.0": torch.ones(2)}), "alpha.0"),
        (lambda state: state.update({"alpha.0": torch.tensor([torch.nan])}), "not finite"),
        (lambda state: state.update({f"alpha.{k}": torch.ones(1) for k in range(12)}), "file's name"),
    ],
)
def test_a_file_of_another_layout_is_refused(change: Any, says: str, tmp_path: Path) -> None:
    state = released((1, 2), 2)
    change(state)
    torch.save({"state_dict": state}, tmp_path / "model.pth")
    with pytest.raises(InputError, match=says):
        load_published(str(tmp_path / "model.pth"))
    with pytest.raises(InputError, match="no file"):
        load_published(str(tmp_path / "nothing.pth"))


def test_the_published_rate_rises_falls_and_rests() -> None:
    recipe = RECIPES["imagenet"]
    group, vectors = groups(thinking(depth=1), recipe)
    assert [group.lr * group.schedule(epoch, 310) for epoch in (0, 5, 300, 305, 310)] == pytest.approx(
        [1e-5, 1e-3, 1e-5, 1e-5, 1e-5]
    )
    assert vectors.weight_decay == 0.0
    assert any(parameter.shape == (1,) for parameter in vectors.parameters)


@pytest.mark.slow
def test_it_is_trained_on_digits_and_benched_there(tmp_path: Path) -> None:
    folder, out = train(tmp_path / "trained", "thinkingvit"), tmp_path / "out"
    given = ("--methods", "thinkingvit", "--method-checkpoint", f"thinkingvit={folder}", "--points", "3")
    assert main(["bench", "--dataset", "digits", *given, "--limit", "60", "-o", str(out)]) == 0
    assert [record.method.name for record in records(out)] == ["thinkingvit"] * 3


def test_an_explanation_tells_the_round_and_how_unsure_each_was() -> None:
    model = thinking((1, 2, 3))
    entropies = model(images(), at(0, 0)).scores
    found = ThinkingViT().explain(model, images(), at(float(entropies[0].median()), 0.0))
    rounds = [len(one.steps["confidence"]) for one in found]
    assert set(rounds) == {1, 3}
    for one, count in zip(found, rounds, strict=True):
        assert one.macs == model.exit_macs()[count - 1]
        assert f"round {count} of 3 ({count} of 3 heads" in one.text
        assert ("always goes on" in one.text) == (count == 3)
