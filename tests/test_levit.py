"""LeViT behind the same adapter as a plain ViT: equal to timm's model, at the MACs that torch executes, and lawful."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import timm
import torch
from torch import nn

from conformance_helpers import check_law
from dynvit import cost
from dynvit.backbones.build import BackboneSpec, build
from dynvit.backbones.dense import dense_macs
from dynvit.backbones.levit import LeViT
from dynvit.errors import InputError
from dynvit.interface import Usage
from dynvit.testing import LAWS, Law, Subject
from dynvit_methods.dense import DenseModel

# GMACs of one image at 224 pixels, as timm counts them too.
DENSE = {"levit_128": 0.405, "levit_192": 0.657, "levit_256": 1.127, "levit_384": 2.352}


def spread() -> Any:
    """A small LeViT whose branches are all on, in float64."""
    return Subject.of("dense", "levit_cifar").make_backbone().double()


@pytest.mark.parametrize("name", DENSE)
def test_torch_executes_what_is_claimed_and_known(name: str) -> None:
    model = timm.create_model(name).eval()
    claimed = int(cost.macs(Usage(1, tuple(LeViT(model).parts()))))
    assert claimed == cost.count_executed(lambda: model(torch.zeros(1, 3, 224, 224))) == dense_macs(model)
    assert round(claimed / 1e9, 3) == DENSE[name]


def test_fvcores_rule_adds_a_scale_and_a_shift_for_each_number_that_a_batch_norm_sees() -> None:
    model, seen = spread().eval(), []
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.register_forward_hook(lambda module, given, found: seen.append(found.numel()))
    ours = dense_macs(model)  # which runs the model once
    assert dense_macs(model, "fvcore") - ours == 2 * sum(seen) > 0


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", ["levit_cifar", "levit_128s"])
def test_the_adapter_equals_timms_model(name: str, training: bool) -> None:
    size = 64
    model = build(BackboneSpec(name, image_size=size)).double().train(training)
    if training:  # as timm makes it LeViT's branches are switched off
        for module in model.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                nn.init.uniform_(module.weight, 0.5, 1.5)
    images = torch.rand(3, 3, size, size, dtype=torch.float64)
    adapter = LeViT(model)
    tokens = adapter.embed(images)
    for block, count in zip(adapter.blocks, adapter.block_tokens, strict=True):
        tokens = block(tokens)
        assert tokens.shape[1] == count
    torch.testing.assert_close(adapter.classify(tokens), model(adapter.normalize(images)), rtol=0, atol=1e-12)


def test_biases_follow_the_weights_and_take_a_second_gradient() -> None:
    """Which timm's own copy of them in eval mode does not."""
    backbone = spread()
    dense = DenseModel(backbone).eval()
    images = torch.rand(2, 3, 64, 64, dtype=torch.float64)
    with torch.inference_mode():
        before = dense.predict(images, dense.neutral).logits.clone()
    for _ in range(2):
        dense(images, dense.neutral).logits.sum().backward()
    biases = backbone.stages[0].blocks[0].attn.attention_biases
    assert biases.grad.abs().sum() > 0
    with torch.no_grad():
        biases.add_(torch.randn_like(biases))
    assert not torch.equal(dense(images, dense.neutral).logits, before)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_the_laws_hold_for_dense_on_levit(law: Law) -> None:
    check_law(law, Subject.of("dense", "levit_cifar", batch=3))


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (lambda: timm.create_model("levit_conv_128s"), "its version without conv"),
        (lambda: timm.create_model("levit_128s", global_pool=""), "no pooled head"),
        (lambda: timm.create_model("levit_128s", num_classes=0), "no pooled head"),
        (lambda: timm.create_model("resnet18"), "it is a ResNet"),
        (lambda: timm.create_model("levit_128s", img_size=72), "224×224: give a multiple, 64 for one"),
    ],
)
def test_what_is_not_a_plain_levit_is_refused(model: Callable[[], nn.Module], says: str) -> None:
    with pytest.raises(InputError, match=says):
        LeViT(model(), needed_by="this test")


def test_a_size_that_the_stem_does_not_divide_is_refused_where_the_backbone_is_made() -> None:
    with pytest.raises(InputError, match=r"a multiple of the patch size 16 of .*, got 72"):
        build(BackboneSpec("levit_192", image_size=72))
    with pytest.raises(InputError, match="64×64 pixels, not 72×72"):
        LeViT(spread()).embed(torch.zeros(1, 3, 72, 72, dtype=torch.float64))
