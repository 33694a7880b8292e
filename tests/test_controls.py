"""The controls against the published reference, and the laws of the random draw."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from golden import Golden, deit_small, family, images
from torch import Tensor

from dynvit import cost
from dynvit.interface import OperatingPoint, Usage
from dynvit.ops.tokens import top_k
from dynvit_methods import topk as topk_room
from dynvit_methods.dense import DenseModel
from dynvit_methods.random_drop import RandomDropModel, RandomDropOptions, random_order
from dynvit_methods.topk import TopKModel, TopKOptions


def agree(golden: Golden, logits: Tensor, usage: Usage) -> None:
    torch.testing.assert_close(logits, golden["logits"], rtol=0, atol=1e-10)
    assert cost.macs(usage).tolist() == [golden.meta["macs"]] * len(logits)


@pytest.mark.parametrize("path", family("dense_deit_s"))
@torch.no_grad()
def test_dense_is_timms_own_model(path: Path) -> None:
    prediction = DenseModel(deit_small()).predict(images(), OperatingPoint())
    agree(Golden(path), prediction.logits, prediction.usage)


@pytest.mark.parametrize("path", family("tokenreduction_topk"))
@torch.no_grad()
def test_top_k_is_token_reductions(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    golden, kept = Golden(path), list[Tensor]()

    def recorded(scores: Tensor, k: int) -> Tensor:
        kept.append(top_k(scores, k))
        return kept[-1]

    monkeypatch.setattr(topk_room, "top_k", recorded)
    model = TopKModel(deit_small(), TopKOptions(stages=len(golden.meta["locs"])))
    point = OperatingPoint(keep_ratio=golden.meta["keep_rate"])
    prediction = model.predict(images(), point)
    agree(golden, prediction.logits, prediction.usage)
    monkeypatch.undo()
    executed = cost.count_executed(lambda: model.predict(images()[:1], point))
    assert executed == golden.meta["macs"]
    assert model.prune_at == tuple(golden.meta["locs"])
    # A stage indexes what came to its block: patches in raster order in ours, in the order of scores in the reference.
    ours = theirs = torch.arange(196).expand(2, -1)
    for block, indices in zip(model.prune_at, kept, strict=True):
        ours = ours.gather(1, indices.sort(1).values)
        theirs = theirs.gather(1, golden[f"kept_block{block}"])
        assert torch.equal(ours, theirs.sort(1).values)


def drop(seed: int = 0) -> RandomDropModel:
    torch.manual_seed(0)
    import dynvit.backbones.small  # noqa: F401 - registers vit_digits with timm

    return RandomDropModel(timm.create_model("vit_digits"), RandomDropOptions(seed=seed)).double().eval()


def pixels(batch: int, seed: int = 0) -> Tensor:
    return torch.rand(batch, 3, 8, 8, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_an_image_draws_the_same_patches_in_any_batch() -> None:
    batch = pixels(6)
    together = random_order(batch, 16, seed=0)
    assert torch.equal(together.sort(1).values, torch.arange(16).expand(6, -1)), "a row is an order of all patches"
    turned = torch.arange(6).flip(0)
    assert torch.equal(random_order(batch[turned], 16, seed=0), together[turned])
    for image, order in zip(batch, together, strict=True):
        assert torch.equal(random_order(image[None], 16, seed=0)[0], order)
        assert torch.equal(random_order(image[None].float(), 16, seed=0)[0], order), "whatever the number type"


def test_other_images_and_other_seeds_draw_other_patches() -> None:
    orders = [tuple(row) for seed in (0, 1) for row in random_order(pixels(6), 16, seed).tolist()]
    assert len(set(orders)) == 12


@torch.no_grad()
def test_the_seed_of_the_options_is_the_one_that_is_drawn_by() -> None:
    point, batch = OperatingPoint(keep_ratio=0.5), pixels(4)
    first, again, other = (drop(seed).predict(batch, point) for seed in (0, 0, 1))
    assert torch.equal(first.logits, again.logits)
    assert bool((first.logits != other.logits).any(1).all())
    assert torch.equal(cost.macs(first.usage), cost.macs(other.usage))


@torch.no_grad()
def test_the_draw_leaves_the_global_generator_alone() -> None:
    model, before = drop(), torch.get_rng_state()
    model.predict(pixels(2), OperatingPoint(keep_ratio=0.5))
    assert torch.equal(torch.get_rng_state(), before)
