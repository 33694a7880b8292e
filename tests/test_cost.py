"""Compute, counted once: the closed forms give the published numbers, and torch executes what they claim."""

from __future__ import annotations

import pytest
import timm
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from dynvit import cost
from dynvit.backbones.dense import dense_macs
from dynvit.interface import DynamicModel, OperatingPoint, Rule, Usage, methods

TINY, SMALL, BASE = (f"deit_{size}_patch16_224" for size in ("tiny", "small", "base"))
# GMACs of one image: our rule, and fvcore's, which the papers' scripts use.
DENSE = {TINY: (1.254, 1.258), SMALL: (4.599, 4.608), BASE: (17.564, 17.583)}
# GMACs of class-attention top-k at each keep ratio, after blocks 3, 6 and 9, with TokenReduction's counts.
RATIOS = (0.9, 0.8, 0.7, 0.6, 0.5, 0.3, 0.25)
TOP_K = {
    SMALL: (3.960, 3.427, 2.980, 2.592, 2.278, 1.785, 1.699),
    TINY: (1.075, 0.928, 0.808, 0.704, 0.621, 0.493, 0.471),
}
COUNT = st.integers(1, 2**20)


def attached(method: str, backbone: nn.Module) -> DynamicModel:
    kind = methods.get(method)
    return kind().attach(backbone, kind.Options()).eval()


def shape_of(backbone: str) -> nn.Module:
    """The model without its numbers: all that a closed form needs."""
    with torch.device("meta"):
        return timm.create_model(backbone)


def claimed(model: DynamicModel, point: OperatingPoint, rule: Rule = "matmul+conv", device: str = "meta") -> int:
    with torch.no_grad():
        usage = model.predict(torch.zeros(1, 3, 224, 224, device=device), point).usage
    # The counts are integers of the architecture; only their sum is made on a device.
    return sum(int(part.macs(rule)) for part in usage.parts)  # type: ignore[misc]


@pytest.mark.parametrize("backbone", DENSE)
def test_the_dense_deits_cost_what_is_known(backbone: str) -> None:
    dense = attached("dense", shape_of(backbone))
    ours, fvcore = (claimed(dense, OperatingPoint(), rule) / 1e9 for rule in ("matmul+conv", "fvcore"))
    assert (round(ours, 3), round(fvcore, 3)) == DENSE[backbone]
    assert dense_macs(dense.backbone, "fvcore") / 1e9 == fvcore


@pytest.mark.parametrize("backbone", [TINY, SMALL])
def test_torch_executes_what_dense_claims(backbone: str) -> None:
    model = timm.create_model(backbone).eval()
    executed = cost.count_executed(lambda: model(torch.zeros(1, 3, 224, 224)))
    assert executed == claimed(attached("dense", model), OperatingPoint(), device="cpu") == dense_macs(model)


@pytest.mark.parametrize("backbone", TOP_K)
def test_top_k_costs_what_token_reduction_costs(backbone: str) -> None:
    model = attached("topk", shape_of(backbone))
    found = [claimed(model, OperatingPoint(keep_ratio=ratio)) / 1e9 for ratio in RATIOS]
    assert [round(gmacs, 3) for gmacs in found] == list(TOP_K[backbone])


@given(rows=COUNT, d_in=COUNT, d_out=COUNT)
def test_integers_stay_exact(rows: int, d_in: int, d_out: int) -> None:
    parts = (cost.Linear("a", rows, d_in, d_out), cost.Linear("b", torch.tensor([rows, 1]), d_in, d_out))
    total = cost.macs(Usage(2, parts))
    assert total.dtype == torch.int64
    assert total.tolist() == [2 * rows * d_in * d_out, (rows + 1) * d_in * d_out]


@given(tokens=st.lists(st.integers(1, 1000), min_size=1, max_size=5), heads=st.integers(1, 16))
def test_a_count_per_image_is_each_images_own_count(tokens: list[int], heads: int) -> None:
    together = cost.macs(Usage(len(tokens), (cost.Attention("a", torch.tensor(tokens), 7, heads, 64, 32),)))
    assert together.tolist() == [heads * n * 7 * (64 + 32) for n in tokens]


def test_gradients_flow_through_counts() -> None:
    kept = torch.tensor([3.0, 5.0], requires_grad=True)
    parts = (cost.Linear("a", kept, 4, 6), cost.Attention("b", kept, kept, 2, 8), cost.Linear("head", 1, 4, 10))
    total = cost.macs(Usage(2, parts))
    total.sum().backward()
    assert total.tolist() == [24 * n + 32 * n * n + 40 for n in (3, 5)]
    assert kept.grad is not None
    assert kept.grad.tolist() == [24 + 64 * n for n in (3, 5)]


def test_normalisation_and_resizing_count_under_fvcores_rule_alone() -> None:
    usage = Usage(1, (cost.Normalization("norm", 10), cost.Resize("up", upsampled=7), cost.Resize("pool", pooled=9)))
    assert (int(cost.macs(usage)), int(cost.macs(usage, "fvcore"))) == (0, 5 * 10 + 7 + 9)
