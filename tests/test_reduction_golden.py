"""Methods that drop and merge tokens, against the published implementations in float64, file by file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from golden import Golden, deit_small, family, images
from torch import Tensor

from dynvit import cost
from dynvit.backbones.reducing import places_by_block
from dynvit.interface import DynamicModel, OperatingPoint, Prediction
from dynvit.ops.merging import bipartite_groups, most_merged
from dynvit.units import GIGA
from dynvit_methods.atc import ATCModel, ATCOptions
from dynvit_methods.ats import ATSModel, ATSOptions
from dynvit_methods.diffrate import DiffRateModel, DiffRateOptions
from dynvit_methods.diffrate.schedules import BETWEEN, PUBLISHED
from dynvit_methods.evit import EViTModel, EViTOptions
from dynvit_methods.mctf import MCTFModel, MCTFOptions
from dynvit_methods.tome import ToMeModel, ToMeOptions

TOLERANCE = 1e-9


def agree(golden: Golden, model: DynamicModel, point: OperatingPoint, logits: str = "logits") -> Prediction:
    """The logits, and the MACs in thousandths of a G, claimed and executed."""
    model.eval()
    prediction = model.predict(images(), point)
    torch.testing.assert_close(prediction.logits, golden[logits], rtol=0, atol=TOLERANCE)
    claimed = cost.macs(prediction.usage).tolist()
    known = golden.meta.get("macs_per_image") or [golden.meta["macs"]] * len(claimed)
    assert [f"{each / GIGA:.3f}" for each in claimed] == [f"{each / GIGA:.3f}" for each in known]
    assert cost.count_executed(lambda: model.predict(images()[:1], point)) == claimed[0]
    return prediction


def same_partition(ours: Tensor, theirs: Tensor) -> None:
    """Two numberings of groups that have the same members. Shape: (B, n)."""
    together = [each[:, :, None] == each[:, None, :] for each in (ours, theirs)]
    assert torch.equal(*together)


def left_at_mlp(prediction: Prediction, golden: Golden, name: str) -> None:
    assert prediction.usage.tokens is not None
    entering = prediction.usage.tokens[0].tolist()
    assert [*entering[1:]] == golden[name].tolist()[:-1]


@pytest.mark.parametrize("path", family("tome_deit_*"))
@torch.no_grad()
def test_tome_is_the_published_one(path: Path) -> None:
    golden = Golden(path)
    schedule = tuple(golden["r_schedule"].tolist())
    point = OperatingPoint(r=max(schedule))
    model = ToMeModel(deit_small(), ToMeOptions(schedule))
    prediction = agree(golden, model, point)
    left_at_mlp(prediction, golden, "tokens_after_merge")
    same_partition(places_by_block(model.vit, prediction)[-1], golden["final_group_of_token"][:, 1:])
    if (key := "logits_no_prop_attn") in golden:
        agree(golden, ToMeModel(model.backbone, ToMeOptions(schedule, proportional=False)), point, key)


@pytest.mark.parametrize("path", family("tome_matching*"))
def test_matching_merges_what_the_published_one_merges(path: Path) -> None:
    golden, cases = Golden(path), 0
    for count in range(1, 200):
        for class_token in (True, False):
            name = f"r{count}_cls{int(class_token)}"
            if f"{name}_x" not in golden:
                continue
            cases += 1
            metric, size = golden["metric"], golden["size"].squeeze(-1)
            groups = bipartite_groups(metric, min(count, most_merged(metric.shape[1], class_token)), class_token)
            merged, sizes = groups.mean(golden["x"], size)
            same_partition(groups.places(metric.shape[1]), golden[f"{name}_source"].argmax(1))
            # The order of the rows is not ours: sizes and tokens are compared in the order of their first members.
            places = groups.places(metric.shape[1])
            theirs = golden[f"{name}_source"].argmax(1)
            for one, other in ((merged, golden[f"{name}_x"]), (sizes.unsqueeze(-1), golden[f"{name}_size"])):
                index = [each.unsqueeze(-1).expand(-1, -1, one.shape[-1]) for each in (places, theirs)]
                torch.testing.assert_close(one.gather(1, index[0]), other.gather(1, index[1]), rtol=0, atol=1e-12)
    assert cases


@pytest.mark.parametrize("path", family("evit_deit_*"))
@torch.no_grad()
def test_evit_is_the_published_one(path: Path) -> None:
    golden = Golden(path)
    options = EViTOptions(stages=tuple(golden.meta["locs"]), fuse=golden.meta["fuse"])
    prediction = agree(golden, EViTModel(deit_small(), options), OperatingPoint(keep_ratio=golden.meta["keep"]))
    for stage, block in enumerate(golden.meta["locs"]):
        kept = prediction.reductions[block].kept[:, 1:] - 1  # type: ignore[attr-defined]
        assert kept.shape == golden[f"stage{stage}_topk_idx"].shape
        if stage == 0:  # later ones index tokens in the order of the reference's scores
            assert torch.equal(kept, golden["stage0_topk_idx"].sort(1).values)


@pytest.mark.parametrize("path", family("diffrate_deit_*"))
@torch.no_grad()
def test_diffrate_is_the_published_one(path: Path) -> None:
    golden = Golden(path)
    prune, merge = (tuple(golden[name].tolist()) for name in ("prune_kept", "merge_kept"))
    model = DiffRateModel(deit_small(), DiffRateOptions(prune=prune, merge=merge))
    prediction = agree(golden, model, OperatingPoint(level=0))
    left_at_mlp(prediction, golden, "tokens_at_mlp")
    if (budget := str(golden.meta["budget"])) in PUBLISHED["deit_small"]:
        level = BETWEEN * list(PUBLISHED["deit_small"]).index(budget)
        agree(golden, DiffRateModel(model.backbone, DiffRateOptions()), OperatingPoint(level=level))


@pytest.mark.parametrize("path", family("ats_deit_*"))
@torch.no_grad()
def test_ats_is_the_published_one_one_image_at_a_time(path: Path) -> None:
    golden = Golden(path)
    model = ATSModel(deit_small(), ATSOptions(stages=tuple(golden.meta["ats_blocks"]), softmax="published"))
    point = OperatingPoint(samples=golden.meta["num_tokens"][0] - 1)
    prediction = agree(golden, model, point, "logits_one_image_at_a_time")
    for image in range(2):
        kept = [int(mask[image].sum()) for mask in prediction.kept if mask is not None]  # type: ignore[attr-defined]
        assert kept == golden[f"single{image}_counts_incl_cls"].tolist()


@pytest.mark.parametrize("path", family("mctf_deit_*"))
@torch.no_grad()
def test_mctf_is_the_published_one(path: Path) -> None:
    golden, meta = Golden(path), Golden(path).meta
    taus = {name: float(meta[name]) for name in ("tau_sim", "tau_info", "tau_size")}
    form: Any = "share" if meta["r"] < 1 else "count"
    model = MCTFModel(deit_small(), MCTFOptions(form=form, stages=tuple(meta["active_blocks"]), **taus))
    prediction = agree(golden, model, OperatingPoint(r=meta["r"]))
    same_partition(places_by_block(model.vit, prediction)[-1], golden["final_group_of_token"][:, 1:])


@pytest.mark.parametrize("path", family("atc_deit_*"))
@torch.no_grad()
def test_atc_is_the_published_one(path: Path) -> None:
    golden, meta = Golden(path), Golden(path).meta
    linkage = meta["linkage"]
    options = ATCOptions(tuple(meta["reduction_loc"]), linkage, meta["proportional_attn"])
    model = ATCModel(deit_small(), options)
    prediction = agree(golden, model, OperatingPoint(keep_ratio=meta["keep_rate"]))
    same_partition(places_by_block(model.vit, prediction)[-1], golden["final_group_of_token"][:, 1:])


@pytest.mark.parametrize("path", family("tokenreduction_evit*"))
@torch.no_grad()
def test_evit_by_original_counts_is_token_reductions(path: Path) -> None:
    golden = Golden(path)
    options = EViTOptions(stages=tuple(golden.meta["locs"]), counts="original")
    agree(golden, EViTModel(deit_small(), options), OperatingPoint(keep_ratio=golden.meta["keep_rate"]))


@pytest.mark.parametrize("path", family("tokenreduction_tome*"))
@torch.no_grad()
def test_tome_at_three_blocks_is_token_reductions(path: Path) -> None:
    golden = Golden(path)
    merged, before = [0] * 12, 196
    for stage, block in enumerate(golden.meta["locs"], 1):
        after = int(196 * golden.meta["keep_rate"] ** stage)
        merged[block], before = before - after, after
    model = ToMeModel(deit_small(), ToMeOptions(tuple(merged)))
    agree(golden, model, OperatingPoint(r=max(merged)))
