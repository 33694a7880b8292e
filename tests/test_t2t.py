"""T2T-ViT as a timm model, and behind the adapter of plain ViTs."""

from __future__ import annotations

import pytest
import timm
import torch

from dynvit import cost
from dynvit.backbones.t2t import SoftSplit, T2TViT
from dynvit.backbones.vit import PlainViT
from dynvit.errors import InputError
from dynvit.interface import Usage
from dynvit.ops.performer import linear_attention, orthogonal_features, positive_features


def test_it_is_a_timm_model() -> None:
    model = timm.create_model("t2t_vit_12", num_classes=7, img_size=64).eval()
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        features = model.forward_features(images)
        assert features.shape == (2, 17, 256)
        assert torch.equal(model.forward_head(features), model(images))
        assert model(images).shape == (2, 7)
        model.set_input_size((96, 96))
        assert model(torch.rand(2, 3, 96, 96)).shape == (2, 7)
    model.reset_classifier(3)
    assert model.pretrained_cfg["input_size"] == (3, 224, 224)
    assert model(torch.rand(1, 3, 96, 96)).shape == (1, 3)


@pytest.mark.parametrize(("name", "gmacs", "params"), [("t2t_vit_12", 1.763, 6.9), ("t2t_vit_14", 4.783, 21.5)])
def test_claimed_compute_is_executed(name: str, gmacs: float, params: float) -> None:
    model = timm.create_model(name).eval()
    adapter = PlainViT(model)
    blocks = [part for k in range(adapter.shape.depth) for part in adapter.block_parts(k, 197)]
    claimed = int(cost.macs(Usage(1, (*adapter.embed_parts(), *blocks, *adapter.classify_parts(197)))))
    assert claimed == cost.count_executed(lambda: model(torch.rand(1, 3, 224, 224)))
    assert claimed / 1e9 == pytest.approx(gmacs, abs=5e-4)
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(params, abs=0.1)


def test_adapter_equals_model_and_gradients_reach_all_but_the_table() -> None:
    model = timm.create_model("t2t_vit_12", num_classes=3, img_size=32).eval()
    adapter, images = PlainViT(model), torch.rand(2, 3, 32, 32)
    tokens = adapter.embed(images)
    for block in adapter.blocks:
        tokens = block(tokens)
    assert torch.allclose(adapter.classify(tokens), model(adapter.normalize(images)), atol=1e-5)
    adapter.classify(tokens).square().sum().backward()
    still = [name for name, p in model.named_parameters() if p.grad is None]
    assert still == ["pos_embed"]
    assert "patch_embed.attention1.w" in model.state_dict()


def test_random_features_estimate_softmax_attention() -> None:
    torch.manual_seed(0)
    q, k, v = (torch.randn(1, 9, 8, dtype=torch.float64) / 4 for _ in range(3))
    w = torch.randn(20_000, 8, dtype=torch.float64)
    assert float((linear_attention(q, k, v, w) - (q @ k.mT).softmax(-1) @ v).abs().max()) < 0.02
    assert positive_features(q.half(), w).dtype == torch.float32
    rows = orthogonal_features(4, 8)
    assert torch.allclose(rows @ rows.T, 4 * torch.eye(4), atol=1e-5)


def test_an_image_too_small_is_refused() -> None:
    with pytest.raises(InputError, match="cannot cut an image of 2×2"):
        T2TViT(img_size=2, embed_dim=16, depth=1, num_heads=1)
    assert SoftSplit(11, 6, 5).grids((224, 224)) == ((38, 38), (19, 19), (10, 10))
