"""`dense` runs any image classifier of timm's as it is, and counts what runs."""

from __future__ import annotations

import contextlib
import json
import math
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import nn

from dynvit import cost
from dynvit.backbones.build import BackboneSpec, build, image_size
from dynvit.backbones.dense import dense_macs
from dynvit.backbones.normalize import Normalize
from dynvit.backbones.whole import WholeBackbone
from dynvit.cli import main
from dynvit.errors import InputError
from dynvit.interface import DynamicModel, OperatingPoint, methods
from dynvit.leaderboard.papers import read_papers
from dynvit.testing import LAWS, Law, NotApplicable, Subject

ROOT = Path(__file__).parents[1]
CONVOLUTIONAL = ("mobilenetv1_100", "efficientnet_b1", "convnext_atto", "resnet18")
SMALL: dict[str, dict[str, Any]] = {
    "pit_ti_224": {},
    "pvt_v2_b0": {},
    "swin_tiny_patch4_window7_224": {"depths": (1, 1, 1, 1), "embed_dim": 24},
    "convnext_atto": {},
    "coat_lite_tiny": {"serial_depths": (1, 1, 1, 1)},
    "mobilenetv1_100": {},
}


def dense(backbone: nn.Module) -> DynamicModel:
    kind = methods.get("dense")
    return kind().attach(backbone.eval(), kind.Options()).eval()


@cache
def built(name: str) -> nn.Module:
    return build(BackboneSpec(name)).eval()


def counted_by_layers(model: nn.Module, size: tuple[int, int]) -> int:
    """A second count: the closed form of each linear layer and convolution, at the shapes that it met."""
    found: list[int] = []

    def convolution(layer: nn.Conv2d, _inputs: object, output: torch.Tensor) -> None:
        found.append(output.numel() * layer.in_channels // layer.groups * math.prod(layer.kernel_size))

    def linear(layer: nn.Linear, _inputs: object, output: torch.Tensor) -> None:
        found.append(output.numel() * layer.in_features)

    hooks = [m.register_forward_hook(convolution) for m in model.modules() if isinstance(m, nn.Conv2d)]
    hooks += [m.register_forward_hook(linear) for m in model.modules() if isinstance(m, nn.Linear)]
    with torch.no_grad():
        model(torch.zeros(1, 3, *size))
    for hook in hooks:
        hook.remove()
    return sum(found)


@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_a_convolutional_network_costs_what_its_layers_cost(name: str) -> None:
    backbone = built(name)
    assert dense_macs(backbone) == counted_by_layers(backbone, image_size(backbone))


@pytest.mark.parametrize("name", ["pit_ti_224", "pvt_v2_b0", "swin_tiny_patch4_window7_224", "coat_lite_tiny"])
def test_a_transformer_costs_its_layers_and_a_little_for_attention(name: str) -> None:
    backbone = built(name)
    layers = counted_by_layers(backbone, image_size(backbone))
    assert layers < dense_macs(backbone) < 1.5 * layers


# Of Table 1 the rows that say which model they are. EfficientNet-B2 is printed at 260 pixels, timm's is at 256.
PRINTED = {row.label: row for paper in read_papers(ROOT / "leaderboards/papers/mia.yaml") for row in paper.rows}


@pytest.mark.parametrize(
    ("label", "within"),
    [
        ("MobileNet", 0.02),
        ("PiT-Ti", 0.01),
        ("PiT-XS", 0.01),
        ("EfficientNet-B1", 0.02),
        ("LeViT-192", 0.01),
        ("LeViT-256", 0.01),
        ("DeiT-Tiny", 0.04),
    ],
)
def test_a_smaller_dense_model_costs_what_papers_print(label: str, within: float) -> None:
    row = PRINTED[label]
    assert dense_macs(built(row.backbone)) / 1e9 == pytest.approx(row.gmacs_mean, rel=within)


@pytest.mark.parametrize("name", SMALL)
def test_dense_is_the_backbone_to_the_bit(name: str) -> None:
    torch.manual_seed(0)
    backbone = timm.create_model(name, num_classes=7, **SMALL[name]).eval()
    model, images = dense(backbone), torch.rand(3, 3, 224, 224)
    with torch.no_grad():
        told = model.predict(images, OperatingPoint())
        assert torch.equal(told.logits, backbone(Normalize.of(backbone)(images)))
        executed = cost.count_executed(lambda: model.predict(images, OperatingPoint()))
    assert isinstance(model.adapter, WholeBackbone)
    assert cost.macs(told.usage).tolist() == [dense_macs(backbone)] * 3
    assert executed == 3 * dense_macs(backbone)
    assert told.usage.tokens is None


def test_a_vit_that_no_adapter_knows_runs_whole() -> None:
    model = dense(timm.create_model("vit_small_r26_s32_224", num_classes=5))
    assert isinstance(model.adapter, WholeBackbone)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_every_law_holds_for_a_whole_backbone(law: Law) -> None:
    with contextlib.suppress(NotApplicable):
        law(Subject.of("dense", "test_convnext"))


def test_another_rule_and_another_size_are_refused() -> None:
    backbone = built("mobilenetv1_100")
    with pytest.raises(InputError, match="it is a EfficientNet"):
        dense_macs(backbone, "fvcore")
    model = dense(backbone)
    with pytest.raises(InputError, match=r"224×224 pixels, .* got 64×64"):
        model.predict(torch.rand(1, 3, 64, 64), OperatingPoint())
    with pytest.raises(InputError, match="fvcore has no form for EfficientNet"):
        cost.Executed("EfficientNet", 5).macs("fvcore")


def test_a_small_dense_model_is_benched_like_any_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = "--dataset digits --image-size 32 --limit 8 --calibration 8 --epochs 1 --limit-train 16"
    given = f"bench --methods dense --backbone test_efficientnet {asked} -o {tmp_path / 'run'}"
    assert main(given.split()) == 0
    board = json.loads((tmp_path / "run" / "leaderboard.json").read_text())
    [entry] = board["entries"]
    assert entry["baseline"]
    assert board["setting"]["backbone"] == "test_efficientnet"
    assert entry["gmacs_mean"] == board["setting"]["dense_gmacs"]
    assert main(["bench", *given.replace("methods dense", "methods dense,topk").split()[1:]]) == 2
    assert "topk cannot serve backbone 'test_efficientnet': it is a EfficientNet" in capsys.readouterr().err
