"""DynamicViT's model: its laws, its compute, its faults."""

from __future__ import annotations

from itertools import pairwise

import pytest
import timm
import torch
from torch import nn

import dynvit.backbones.small  # noqa: F401 - registers vit_digits with timm
from conformance_helpers import check_law
from dynvit import cost
from dynvit.errors import InputError
from dynvit.interface import OperatingPoint
from dynvit.testing import LAWS, Subject
from dynvit_methods.dynamicvit import DynamicViT, DynamicViTModel, DynamicViTOptions
from dynvit_methods.dynamicvit.budget import macs_at
from dynvit_methods.dynamicvit.predictor import Predictor

HALF = OperatingPoint(keep_ratio=0.5)


def tiny(**options: object) -> DynamicViTModel:
    torch.manual_seed(0)
    backbone = timm.create_model("vit_digits", patch_size=1, embed_dim=16, num_heads=2, depth=4)
    return DynamicViTModel(backbone, DynamicViTOptions(**options))  # type: ignore[arg-type]


def images(batch: int = 2) -> torch.Tensor:
    return torch.rand(batch, 3, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("options", [DynamicViTOptions(), DynamicViTOptions(0.4, stages=(1, 4))], ids=["three", "two"])
def test_the_laws_hold(law, options) -> None:  # type: ignore[no-untyped-def]
    check_law(law, Subject.of("dynamicvit", options=options))


# MACs of the executed path in GMACs at keep ratio 1, .9, .8, .7, .6, .5 (spec of the published code, matmul and conv).
TABLE = {
    "deit_tiny_patch16_224": (1.254, 1.091, 0.932, 0.801, 0.690, 0.602),
    "deit_small_patch16_224": (4.599, 4.041, 3.463, 2.981, 2.565, 2.229),
    "deit_base_patch16_224": (17.564, 15.512, 13.323, 11.476, 9.868, 8.561),
}
PARAMETERS = {"deit_tiny_patch16_224": 182_166, "deit_small_patch16_224": 723_750, "deit_base_patch16_224": 2_885_190}


@pytest.mark.parametrize("name", TABLE)
def test_compute_is_that_of_the_published_code(name: str) -> None:
    with torch.device("meta"):
        model = DynamicViTModel(timm.create_model(name), DynamicViTOptions())
    assert [round(macs_at(model, ratio) / 1e9, 3) for ratio in (1, 0.9, 0.8, 0.7, 0.6, 0.5)] == list(TABLE[name])
    assert sum(p.numel() for p in model.predictors.parameters()) == PARAMETERS[name]


def test_the_small_deit_executes_what_it_claims() -> None:
    model = DynamicViTModel(timm.create_model("deit_small_patch16_224"), DynamicViTOptions()).eval()
    image = torch.zeros(1, 3, 224, 224)
    for ratio in (0.9, 0.8, 0.7, 0.6, 0.5):
        point = OperatingPoint(keep_ratio=ratio)
        executed = cost.count_executed(lambda point=point: model.predict(image, point))  # type: ignore[misc]
        assert executed == macs_at(model, ratio)


def test_a_stage_with_nothing_to_drop_runs_no_predictor() -> None:
    model = tiny().eval()
    usage = model.predict(images(), OperatingPoint(keep_ratio=1.0)).usage
    assert not any(part.name.startswith("predictors") for part in usage.parts)
    assert usage.tokens is not None
    assert usage.tokens.tolist() == [[65] * 4] * 2


def test_training_masks_only_ever_drop_and_usage_counts_each_image() -> None:
    model = tiny().train()
    with torch.no_grad():
        prediction = model(images(4), HALF)
    assert prediction.usage.tokens is not None
    for before, after in pairwise(prediction.masks):
        assert ((before == 1) | (after == 0)).all()
    kept = [mask.sum(1).long() + 1 for mask in prediction.masks]
    assert torch.equal(prediction.usage.tokens, torch.stack([torch.full((4,), 65), *kept], dim=1))
    assert len(cost.macs(prediction.usage).unique()) > 1


@pytest.mark.parametrize("softmax", ["exact", "published"])
def test_an_image_that_loses_every_patch_stays_finite_forward_and_backward(softmax: str) -> None:
    """The published code divides by zero here (its issue 6)."""
    model = tiny(softmax=softmax).train()
    for predictor in model.predictors:
        assert isinstance(predictor, Predictor)
        last = predictor.out_conv[-1]
        assert isinstance(last, nn.Linear)
        nn.init.constant_(last.bias[:1], -1e4)
    prediction = model(images(), HALF)
    assert prediction.kept.sum() == 0
    (prediction.logits.sum() + prediction.patches.sum() + sum(mask.sum() for mask in prediction.masks)).backward()
    assert prediction.logits.isfinite().all()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_a_target_gets_the_highest_ratio_within_it() -> None:
    model, method = tiny(), DynamicViT()
    for target in (0.5, 0.7, 0.9, 1.0):
        ratio = method.options_for(target, model.backbone, model.options).keep_ratio
        assert macs_at(model, ratio) <= target * macs_at(model, 1.0)
        if target < 1:
            assert macs_at(model, ratio + 0.001) > target * macs_at(model, 1.0)


def bad_target() -> None:
    DynamicViT().options_for(0.01, tiny().backbone, DynamicViTOptions())


def shallow() -> None:
    DynamicViT().attach(timm.create_model("vit_digits", depth=3), DynamicViTOptions())


@pytest.mark.parametrize(
    ("attempt", "message"),
    [
        (bad_target, r"a target of method dynamicvit .* must be 0\.\d+ to 1 of the dense MACs .*, got"),
        (shallow, "backbone has 3: take one of at least 4 blocks"),
        (lambda: tiny(stages=(2, 7)), "take one of more than 7 blocks"),
        (lambda: tiny(stages=(3, 2)), "ascending blocks"),
        (lambda: tiny(keep_ratio=0.0), "above 0 and at most 1"),
        (lambda: tiny(temperature=0.0), "above 0"),
        (lambda: tiny(kl_weight=-1.0), "0 or above"),
        (lambda: tiny().eval()(images(), OperatingPoint(keep_ratio=1.5)), "above 0 and at most 1"),
        (lambda: tiny().predict(images(), OperatingPoint(threshold=0.5)), "needs a number for knob 'keep_ratio'"),
        (lambda: DynamicViT().attach(timm.create_model("resnet18"), DynamicViTOptions()), "not a timm VisionTrans"),
    ],
)
def test_wrong_input_is_named_in_one_line(attempt, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match=message):
        attempt()
