"""MIA-Former on LeViT: both forms agree whatever is dropped, what is claimed is executed, statistics stay fixed."""

from __future__ import annotations

import copy
import dataclasses
import sys
from functools import cache, partial

import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from conformance_helpers import check_law
from dynvit import cost
from dynvit.interface import Usage
from dynvit.testing import LAWS, Law, Subject
from dynvit_methods.mia import Masks, MIAFormer, MIAModel, MIAOptions
from dynvit_methods.mia.adapter import MIAAdapter
from dynvit_methods.mia.adapters import adapter_for
from dynvit_methods.mia.gates import Thresholds, fixed
from dynvit_methods.mia.levit import LeViTAdapter

IMAGES = 3


def subject(**options: object) -> Subject:
    dense = Subject.of("dense", "levit_cifar", batch=IMAGES)
    return dataclasses.replace(dense, method=MIAFormer(), options=MIAOptions(**options))  # type: ignore[arg-type]


@cache
def made(**options: object) -> tuple[MIAModel, LeViTAdapter, Tensor]:
    given = subject(**options)
    model = given.model()
    assert isinstance(model, MIAModel)
    assert isinstance(model.adapter, LeViTAdapter)
    return model, model.adapter, given.images


def drawn(adapter: LeViTAdapter, kind: str, seed: int) -> list[Masks]:
    """Masks of every block; of another kind where ``kind`` says so."""
    generator, found = torch.Generator().manual_seed(seed), []
    for gate in adapter.gates:
        depth, heads, tokens = (
            torch.rand(shape, generator=generator) < keep
            for shape, keep in (((IMAGES,), 0.8), ((IMAGES, gate.heads), 0.6), ((IMAGES, gate.tokens), 0.6))
        )
        if kind == "all":
            depth, heads, tokens = (torch.ones_like(mask) for mask in (depth, heads, tokens))
        elif kind == "no block":
            depth = torch.zeros_like(depth)
        elif kind == "one head":
            heads = torch.nn.functional.one_hot(heads.long().argmax(1), gate.heads).bool()
        elif kind == "one token":
            tokens = torch.nn.functional.one_hot(tokens.long().argmax(1), gate.tokens).bool()
        found.append(Masks(depth, heads, tokens))
    return found


def executed(adapter: MIAAdapter, images: Tensor, masks: list[Masks]) -> Tensor:
    tokens = adapter.embed(images)
    for index, kept in enumerate(masks):
        tokens = adapter.executed(index, adapter.enter(index, tokens), kept)
    return adapter.classify(tokens)


@pytest.mark.parametrize("channels", ["all", "kept"])
@pytest.mark.parametrize("kind", ["random", "one head", "one token", "no block", "all"])
@settings(max_examples=3, deadline=None)
@given(seed=st.integers(0, 2**31))
@torch.no_grad()
def test_both_forms_agree_whatever_is_dropped(channels: str, kind: str, seed: int) -> None:
    model, adapter, images = made(attention_channels=channels)
    masks = drawn(adapter, kind, seed)
    dense = model.masked(images, fixed(tuple(masks)))
    torch.testing.assert_close(dense.logits, executed(adapter, images, masks), rtol=0, atol=1e-9)
    if kind == "all":
        levit = adapter.levit
        torch.testing.assert_close(dense.logits, levit.model(levit.normalize(images)), rtol=0, atol=1e-9)
    coarse = MIAFormer().attach(copy.deepcopy(model.backbone).float(), model.options).eval()
    assert isinstance(coarse, MIAModel)
    logits = coarse.masked(images.float(), fixed(tuple(masks))).logits
    torch.testing.assert_close(logits, executed(coarse.adapter, images.float(), masks), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("channels", ["all", "kept"])
@pytest.mark.parametrize("kind", ["random", "one head", "one token", "no block", "all"])
def test_an_image_costs_what_is_executed_for_it(channels: str, kind: str) -> None:
    model, adapter, images = made(attention_channels=channels)
    masks = drawn(adapter, kind, seed=0)
    claimed = cost.macs(model.usage(masks, asked=()))
    for image in range(IMAGES):
        mine = [Masks(m.depth[image, None], m.heads[image, None], m.tokens[image, None]) for m in masks]
        assert cost.count_executed(partial(executed, adapter, images[image, None], mine)) == claimed[image]


@pytest.mark.slow
@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_the_laws_hold(law: Law) -> None:
    check_law(law, subject())


def test_what_is_dropped_passes_and_is_seen_by_nobody() -> None:
    _, adapter, images = made()
    tokens = adapter.embed(images)
    kept = drawn(adapter, "random", seed=1)[0]
    gone = ~(kept.tokens & kept.runs(class_token=False)[:, None])
    noisy = torch.where(gone[..., None], tokens + 1, tokens)
    one, other = (adapter.masked(0, given, kept.to(torch.float64)) for given in (tokens, noisy))
    torch.testing.assert_close(one[gone], tokens[gone], rtol=0, atol=0)
    torch.testing.assert_close(one[~gone], other[~gone], rtol=0, atol=1e-12)
    assert not torch.equal(one[~gone], tokens[~gone])


def test_in_training_statistics_stay_and_results_do_not_depend_on_the_batch() -> None:
    """In the statistics of a batch the tokens of one image would change the answer to another."""
    model, adapter, images = made()
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    masks = drawn(adapter, "random", seed=2)
    model.train()
    together = model.masked(images, fixed(tuple(masks))).logits
    for image in range(IMAGES):
        mine = tuple(Masks(m.depth[image, None], m.heads[image, None], m.tokens[image, None]) for m in masks)
        torch.testing.assert_close(model.masked(images[image, None], fixed(mine)).logits[0], together[image])
    model(images, model.trained_point)
    assert all(torch.equal(buffer, before[name]) for name, buffer in model.named_buffers())
    model.eval()


def test_a_cost_has_a_gradient_in_every_mask() -> None:
    model, adapter, _ = made()
    masks = [m.to(torch.float64) for m in drawn(adapter, "all", seed=0)]
    for kept in masks:
        for mask in (kept.depth, kept.heads, kept.tokens):
            mask.requires_grad_()
    cost.macs(model.usage(masks, asked=())).sum().backward()
    for kept in masks:
        for mask in (kept.depth, kept.heads, kept.tokens):
            assert mask.grad is not None
            assert float(mask.grad.min()) > 0


# Parts of a whole block that its heads cost, one dropped after another; in the middle stage of LeViT-192 5 heads share
# 288 channels, 57 a head and 3 of no head.
HEADS = {
    ("levit_192", 0): (1.0, 0.562, 0.229),
    ("levit_192", 4): (1.0, 0.717, 0.475, 0.275, 0.117),
    ("levit_256", 4): (1.0, 0.756, 0.543, 0.361, 0.21, 0.089),
}


@pytest.mark.parametrize(("name", "index"), HEADS)
def test_dropping_heads_saves_nearly_their_square(name: str, index: int) -> None:
    with torch.device("meta"):
        adapter = adapter_for(timm.create_model(name), MIAOptions())
    gate = adapter.gates[index]

    def spent(heads: int) -> int:
        return int(cost.macs(Usage(1, tuple(adapter.block_parts(index, 1, heads, gate.tokens)))))

    shares = [spent(heads) / spent(gate.heads) for heads in range(gate.heads, 0, -1)]
    assert tuple(round(share, 3) for share in shares) == HEADS[name, index]


@pytest.mark.parametrize("name", ["levit_192", "levit_256"])
def test_the_controllers_stay_under_a_twentieth_of_the_backbone(name: str) -> None:
    backbone = timm.create_model(name, img_size=224)
    model = MIAFormer().attach(backbone, MIAOptions()).eval()
    assert isinstance(model, MIAModel)
    images = torch.zeros(1, 3, 224, 224)
    point = model.point(Thresholds(sys.float_info.min, sys.float_info.min, sys.float_info.min))  # asked, and all kept
    dense, whole = (int(cost.macs(model.predict(images, p).usage)) for p in (model.neutral, point))  # type: ignore[arg-type]
    assert 0 < whole - dense < 0.05 * dense
