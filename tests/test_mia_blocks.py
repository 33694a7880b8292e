"""MIA-Former's block: the masked and the executed form are one function, and cost what the paper says."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mia_helpers import drawn_backbone
from torch import Tensor, nn

from dynvit import cost
from dynvit.interface import Usage
from dynvit_methods.mia import MIAOptions
from dynvit_methods.mia.blocks import BlockForm, masked_block
from dynvit_methods.mia.deit import DeiTAdapter
from dynvit_methods.mia.executed import packed_block
from dynvit_methods.mia.gates import Masks

HEADS, TOKENS, IMAGES = 3, 16, 5
FORMS = [BlockForm(norm, channels) for norm in ("unmasked", "masked", "kept") for channels in ("all", "kept")]
Bits = list[bool]


def bits(count: int) -> st.SearchStrategy[Bits]:
    """Any, and the corners oftener than chance has them: none, one, all."""
    one = st.integers(0, count - 1).map(lambda place: [index == place for index in range(count)])
    corners = st.sampled_from([[False] * count, [True] * count])
    return st.one_of(st.lists(st.booleans(), min_size=count, max_size=count), one, corners)


rows = st.tuples(st.booleans(), bits(HEADS), bits(TOKENS))


def masks_of(found: list[tuple[bool, Bits, Bits]]) -> Masks:
    return Masks(*(torch.tensor(column) for column in zip(*found, strict=True)))


@cache
def block(kind: str) -> nn.Module:
    settings: dict[str, dict[str, Any]] = {
        "plain": {},
        "scaled": {"init_values": 0.5},
        "bare": {"qkv_bias": False, "qk_norm": True},
    }
    found: nn.Module = drawn_backbone(**settings[kind]).double().eval().get_submodule("blocks.1")
    return found


def stream(dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(IMAGES, 1 + TOKENS, 48, generator=torch.Generator().manual_seed(2)).to(dtype)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: f"{form.norm}-{form.channels}")
@pytest.mark.parametrize("kind", ["plain", "scaled", "bare"])
@settings(max_examples=15, deadline=None)
@given(found=st.lists(rows, min_size=IMAGES, max_size=IMAGES))
def test_the_two_forms_agree_for_any_masks(form: BlockForm, kind: str, found: list[tuple[bool, Bits, Bits]]) -> None:
    masks = masks_of(found)
    with torch.no_grad():
        soft = masked_block(block(kind), stream(), masks.to(torch.float64), form)
        hard = packed_block(block(kind), stream(), masks, form)
    assert (soft - hard).abs().max() <= 1e-9 * max(1.0, float(soft.abs().max()))


@pytest.mark.parametrize("form", FORMS, ids=lambda form: f"{form.norm}-{form.channels}")
def test_they_agree_in_float32(form: BlockForm) -> None:
    single = drawn_backbone().eval().get_submodule("blocks.1")
    generator = torch.Generator().manual_seed(0)
    drawn = [torch.rand(*shape, generator=generator) for shape in ((IMAGES,), (IMAGES, HEADS), (IMAGES, TOKENS))]
    masks = Masks(drawn[0] < 0.9, drawn[1] < 0.6, drawn[2] < 0.5)
    with torch.no_grad():
        soft = masked_block(single, stream(torch.float32), masks.to(torch.float32), form)
        hard = packed_block(single, stream(torch.float32), masks, form)
    assert (soft - hard).abs().max() <= 1e-4 * max(1.0, float(soft.abs().max()))


@given(found=st.lists(rows, min_size=IMAGES, max_size=IMAGES))
@settings(max_examples=15, deadline=None)
def test_what_is_dropped_passes_by_unchanged(found: list[tuple[bool, Bits, Bits]]) -> None:
    """Dropped tokens, skipped blocks; and where attention writes kept channels alone, those of dropped heads."""
    masks, before = masks_of(found), stream()
    with torch.no_grad():
        after = packed_block(block("plain"), stream(), masks, BlockForm(channels="kept"))
    kept = torch.cat([torch.ones(IMAGES, 1, dtype=torch.bool), masks.tokens], dim=1) & masks.runs(True)[:, None]
    channels = masks.heads.repeat_interleave(48 // HEADS, dim=1)
    touched = kept[:, :, None] & channels[:, None]
    assert torch.equal(after[~touched], before[~touched])
    assert (after[touched] != before[touched]).all()


def test_everything_kept_is_the_backbones_block_and_nothing_kept_is_nothing() -> None:
    everything = Masks.keep_all(IMAGES, HEADS, TOKENS, like=stream())
    nothing = Masks(everything.depth, 0 * everything.heads, everything.tokens)
    with torch.no_grad():
        whole = block("plain")(stream())
        for form in FORMS:
            torch.testing.assert_close(masked_block(block("plain"), stream(), everything, form), whole)
            assert torch.equal(packed_block(block("plain"), stream(), nothing.to(torch.bool), form), stream())


def small() -> tuple[DeiTAdapter, DeiTAdapter]:
    with torch.device("meta"):
        backbone = timm.create_model("deit_small_patch16_224")
    return DeiTAdapter(backbone, MIAOptions()), DeiTAdapter(backbone, MIAOptions(attention_channels="kept"))


def block_macs(adapter: DeiTAdapter, heads: int, tokens: int) -> int:
    return int(cost.macs(Usage(1, tuple(adapter.block_parts(0, 1, heads, tokens)))))


def test_a_block_costs_what_the_paper_says() -> None:
    paper, literal = small()
    whole = block_macs(paper, 6, 197)
    kept = range(6, 0, -1)
    assert [round(block_macs(paper, k, 197) / whole, 3) for k in kept] == [1.000, 0.748, 0.530, 0.346, 0.197, 0.081]
    assert [round(block_macs(literal, k, 197) / whole, 3) for k in kept] == [1.000, 0.705, 0.462, 0.270, 0.129, 0.039]
    assert [round(block_macs(paper, 6, n) / whole, 3) for n in (197, 148, 99, 50)] == [1.000, 0.737, 0.483, 0.239]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: f"{form.norm}-{form.channels}")
@settings(max_examples=6, deadline=None)
@given(found=st.lists(rows, min_size=IMAGES, max_size=IMAGES))
def test_a_batch_executes_the_sum_of_its_images_claims(form: BlockForm, found: list[tuple[bool, Bits, Bits]]) -> None:
    masks, backbone = masks_of(found), drawn_backbone().double().eval()
    adapter = DeiTAdapter(backbone, MIAOptions(norm=form.norm, attention_channels=form.channels))
    runs, heads, tokens = masks.runs(True).long(), masks.heads.sum(1), masks.tokens.sum(1) + 1
    claimed = cost.macs(Usage(IMAGES, tuple(adapter.block_parts(1, runs, heads, tokens)))).sum()
    assert cost.count_executed(lambda: adapter.executed(1, stream(), masks)) == int(claimed)
