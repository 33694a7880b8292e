"""Methods that drop and merge tokens: laws under every option, the backbones they serve, and what they refuse."""

from __future__ import annotations

import dataclasses
import itertools
from functools import cache
from itertools import accumulate
from typing import Any

import pytest
import timm
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import dynvit.backbones.small  # noqa: F401 - registers vit_digits with timm
from conformance_helpers import backbone_of, check_law, subject
from dynvit import cost
from dynvit.backbones.build import BackboneSpec, build
from dynvit.backbones.normalize import Normalize
from dynvit.errors import InputError
from dynvit.interface import DynamicModel, Method, OperatingPoint, methods
from dynvit.knobs import knobs_of
from dynvit.options import parse_options
from dynvit.search import draw
from dynvit.testing import Law
from dynvit.testing.capabilities import explanations_agree_with_predict, frozen_gates_repeat_decisions
from dynvit.testing.laws import claimed_macs_are_executed, results_do_not_depend_on_the_batch
from dynvit.units import GIGA
from dynvit_methods.diffrate.schedules import PUBLISHED, counts_at, published

REDUCING = ("tome", "evit", "diffrate", "ats", "mctf", "atc")
SERVING_PLAIN_VITS = (*REDUCING, "resolution", "classrow", "depth")

TRIED = (
    claimed_macs_are_executed,
    results_do_not_depend_on_the_batch,
    frozen_gates_repeat_decisions,
    explanations_agree_with_predict,
)

OPTIONS = (
    ("tome", "schedule=decreasing"),
    ("tome", "schedule=0,3,0,0,2,0 proportional=no"),
    ("evit", "fuse=no stages=0,2"),
    ("evit", "counts=original"),
    ("diffrate", "schedule=deit_base"),
    ("diffrate", "prune=17,15,13,11,9,7 merge=16,14,12,10,8,6"),
    ("ats", "stages=0,3 softmax=published"),
    ("mctf", "form=share"),
    ("atc", "linkage=single proportional=no"),
    ("atc", "linkage=average stages=1"),
)


@cache
def small(name: str, options: str = "", backbone: str = "deit_small_patch16_224") -> DynamicModel:
    kind = methods.get(name)
    return kind().attach(build(BackboneSpec(backbone)), parse_options(kind.Options, options.split())).eval()


@pytest.mark.slow
@pytest.mark.parametrize("law", TRIED, ids=lambda law: law.__name__)
@pytest.mark.parametrize(("name", "options"), OPTIONS)
def test_the_laws_hold_under_every_option(name: str, options: str, law: Law) -> None:
    check_law(law, subject(name, options))


@pytest.mark.parametrize("name", SERVING_PLAIN_VITS)
@pytest.mark.parametrize(
    "backbone",
    [{"init_values": 0.5}, {"qk_norm": True, "qkv_bias": False}, {"no_embed_class": True}, {"pre_norm": True}],
    ids=["LayerScale", "normed queries and keys, no bias", "positions of patches only", "a norm before the blocks"],
)
@torch.no_grad()
def test_what_a_block_has_besides_is_applied_where_the_backbone_applies_it(name: str, backbone: dict[str, Any]) -> None:
    of = subject(name, **backbone)
    model, images = of.model(), of.images[:2]
    if model.neutral is not None:
        expected = model.backbone(Normalize.of(model.backbone)(images))
        torch.testing.assert_close(model.predict(images, model.neutral).logits, expected)
    else:
        assert name == "ats", "which always drops the token of the least score"
    [point] = draw(of.knobs(), seed=1, count=1)
    together, alone = model.predict(images, point), model.predict(images[1:], point)
    torch.testing.assert_close(together.logits[1:], alone.logits)
    assert int(cost.macs(alone.usage)) == cost.count_executed(lambda: model.predict(images[1:], point))


OTHER_FAMILIES = [("swin_tiny_patch4_window7_224", {}, "SwinTransformer"), ("levit_128s", {}, "Levit")]
AVERAGED: dict[str, Any] = {"class_token": False, "global_pool": "avg"}


@pytest.mark.parametrize(
    ("name", "backbone", "given", "reason"),
    [
        *((name, *family) for name in SERVING_PLAIN_VITS for family in OTHER_FAMILIES),
        ("evit", "vit_digits", AVERAGED, "no class token and it pools by the mean.*, which .*tome serve; it takes"),
        ("ats", "vit_digits", AVERAGED, "no class token"),
        ("ats", "deit_tiny_distilled_patch16_224", {}, "distillation token, which .*evit.* serve"),
        ("tome", "vit_digits", {"global_pool": "avgmax"}, "pools by 'avgmax'"),
    ],
)
def test_a_backbone_that_is_not_served_is_refused_by_name(
    name: str, backbone: str, given: dict[str, Any], reason: str
) -> None:
    kind, made = methods.get(name), backbone_of(backbone, **given)
    with pytest.raises(InputError, match=f"method {name} cannot serve backbone .*({reason})"):
        kind().attach(made, kind.Options())


@pytest.mark.parametrize(
    ("name", "options", "point", "reason"),
    [
        ("tome", "schedule=8,8,8", {"r": 8}, "schedule must list 6 counts.*got 3"),
        ("tome", "schedule=0,0,0,0,0,0", {"r": 0}, "schedule must list 6 counts"),
        ("tome", "", {"r": 9}, r"knob r must be 0 to 2 on a backbone of 6 blocks and 17 tokens: got 9"),
        ("diffrate", "prune=17,15 merge=16,14", {"level": 0}, "prune must list 6 counts of 2 to 17.*got 2"),
        ("diffrate", "prune=17,15,13,11,9,7", {"level": 0}, "merge must list 6 counts.*got 0"),
        ("diffrate", "prune=17,15,13,11,9,7 merge=1,1,1,1,1,1", {"level": 0}, "merge must list 6 counts of 2 to 17"),
        ("diffrate", "", {"level": 51}, "level must be 0 to 50"),
        ("evit", "stages=3,6,9", {"keep_ratio": 0.7}, "stages must be ascending blocks of 0 to 5.*3,6,9"),
        ("atc", "stages=4,2", {"keep_ratio": 0.7}, "stages must be ascending"),
        ("ats", "stages=6", {"samples": 8}, "stages must be ascending blocks of 0 to 5"),
        ("ats", "", {"samples": 0}, "samples must be at least 1, got 0"),
        ("mctf", "tau_sim=0", {"r": 1}, "tau_sim must be above 0, got 0"),
        ("mctf", "", {"r": 99}, "knob r must be 0 to 3 on this backbone, got 99"),
        ("resolution", "", {"size": 7}, "size must be 2 to 8 pixels in steps of 2, got 7"),
        ("depth", "", {"blocks": 7}, "blocks must be 1 to 6 on this backbone, got 7"),
    ],
)
def test_wrong_input_gets_one_line_that_says_what_must_hold(
    name: str, options: str, point: dict[str, float], reason: str
) -> None:
    images = torch.rand(1, 3, 8, 8)
    with pytest.raises(InputError, match=reason) as error:
        small(name, options, "vit_digits").predict(images, OperatingPoint(**point))
    assert "\n" not in str(error.value)


# GMACs of DeiT-S by the papers' count, in which matching is free.
PAPERS = (
    *(("tome", "", {"r": r}, gmacs) for r, gmacs in ((4, 4.001), (8, 3.416), (10, 3.129), (13, 2.703), (16, 2.291))),
    *(
        ("evit", "", {"keep_ratio": k}, gmacs)
        for k, gmacs in ((0.9, 4.022), (0.8, 3.477), (0.7, 3.029), (0.6, 2.635), (0.5, 2.309))
    ),
    ("mctf", "", {"r": 16}, 2.577),
    ("atc", "", {"keep_ratio": 0.7}, 2.980),
)


@pytest.mark.parametrize(("name", "options", "point", "gmacs"), PAPERS)
@torch.inference_mode()
def test_macs_of_deit_small_are_the_papers(name: str, options: str, point: dict[str, float], gmacs: float) -> None:
    usage = small(name, options).predict(torch.rand(1, 3, 224, 224), OperatingPoint(**point)).usage
    parts = tuple(part for part in usage.parts if not isinstance(part, cost.Matching))
    assert float(cost.macs(dataclasses.replace(usage, parts=parts))) / GIGA == pytest.approx(gmacs, abs=5e-4)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_counts_come_back_as_they_are_and_end_at_the_backbone(name: str) -> None:
    schedules = published(name)
    before: tuple[int, ...] = ()
    for level in range(10 * len(schedules) + 1):
        prune, merge = counts_at(schedules, 197, level, 12, 197)
        for counts in (prune, merge):
            assert all(later <= earlier for earlier, later in itertools.pairwise(counts))
        assert all(merged <= pruned for pruned, merged in zip(prune, merge, strict=True))
        assert sum(merge) >= sum(before)
        before = merge
        if level % 10 == 0 and level < 10 * len(schedules):
            # A published count above what is left drops nothing: 111 after 107, in one of them.
            listed = [count for pair in zip(*schedules[level // 10], strict=True) for count in pair]
            ran = [count for pair in zip(prune, merge, strict=True) for count in pair]
            assert ran == list(accumulate(listed, min))
    assert set(merge) == {197}


@given(st.integers(0, 50), st.integers(1, 30), st.integers(2, 300))
def test_counts_for_other_backbones_never_rise_and_leave_two_tokens(level: int, depth: int, tokens: int) -> None:
    prune, merge = counts_at(published("deit_small"), 197, level, depth, tokens)
    assert len(prune) == len(merge) == depth
    both = [tokens, *(count for pair in zip(prune, merge, strict=True) for count in pair)]
    assert both == sorted(both, reverse=True)
    assert both[-1] >= 2


def test_knobs_are_asked_for_with_the_backbone_only_by_methods_that_take_it() -> None:
    made = 0

    def backbone() -> nn.Module:
        nonlocal made
        made += 1
        return timm.create_model("vit_digits")

    assert knobs_of(methods.get("topk")(), methods.get("topk").Options(), backbone)
    assert made == 0
    assert knobs_of(methods.get("tome")(), methods.get("tome").Options(), backbone)["r"].high == 2
    assert made == 1


def test_images_keep_counts_of_their_own_under_adaptive_sampling() -> None:
    of = subject("ats")
    prediction = of.model().predict(of.images, OperatingPoint(samples=8))
    assert prediction.usage.tokens is not None
    assert len(prediction.usage.tokens.unique(dim=0)) > 1
    assert len(cost.macs(prediction.usage).unique()) > 1


@pytest.mark.parametrize("name", REDUCING)
def test_explanations_say_which_patches_are_one_token(name: str) -> None:
    of = subject(name)
    model, method = of.model(), of.method
    for point in of.points(model):
        done = model.predict(of.images, point).usage.tokens
        assert done is not None
        for image, told in enumerate(method.explain(model, of.images, point)):
            kept = [int(block.kept.sum()) for block in told.blocks]
            # A block's tokens are those of the MLP before it, and the class token.
            assert [count + 1 for count in kept[:-1]] == done[image, 1:].tolist()
            for block in told.blocks:
                assert block.groups is not None
                assert len(block.groups[block.groups >= 0].unique()) == int(block.kept.sum())


def test_what_methods_say_of_themselves_has_defaults_for_strangers() -> None:
    assert (Method.venue, Method.year, Method.varies, Method.by_default) == ("", None, (), True)
    for name in SERVING_PLAIN_VITS:
        assert not methods.get(name).by_default
        assert methods.get(name).varies or name == "classrow"  # runs what the backbone runs, of it what is read
