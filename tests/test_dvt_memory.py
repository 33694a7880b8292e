"""What training keeps for the relationship maps: what autograd must, by the sum in docs/methods/dvt.md."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import Tensor

import dynvit.backbones.small  # noqa: F401 - registers vit_digits with timm
from dynvit.interface import OperatingPoint
from dynvit_methods.dvt.cascade import Cascade
from dynvit_methods.dvt.options import DVTOptions

GRIDS, HEADS, DEPTH, EXPANSION = (2, 3, 4), 3, 6, 3


def kept(model: Cascade, images: int) -> int:
    """Bytes of all storages but the parameters' that a backward pass would read."""
    parameters = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    found: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> Tensor:
        found[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        model(torch.rand(images, 3, 8, 8), OperatingPoint(threshold_1=1.0, threshold_2=1.0))
    return sum(tensor.untyped_storage().nbytes() for place, tensor in found.items() if place not in parameters)


def an_image(relations: str, last_block: str) -> int:
    """Bytes for one image more."""
    options = DVTOptions(GRIDS, "off", relations, last_block=last_block)  # type: ignore[arg-type]
    model = Cascade(timm.create_model("vit_digits"), options).train()
    return kept(model, 3) - kept(model, 2)


@pytest.mark.parametrize("relations", ["full", "layerwise"])
def test_relations_keep_what_autograd_must_and_nothing_more(relations: str) -> None:
    channels, *tokens = HEADS * DEPTH, *(1 + grid**2 for grid in GRIDS)
    handing, last = tokens[:-1], tokens[-1]
    must = sum((2 + 2 * EXPANSION) * channels * n**2 for n in handing) + channels * last**2
    fused = channels * sum(tokens)  # the sums of rows that fused attention keeps instead
    assert an_image(relations, "all") - an_image("off", "all") == 4 * (must - fused)


def test_the_last_exit_keeps_no_attention_of_its_last_block() -> None:
    spared = an_image("full", "all") - an_image("full", "class")
    assert spared >= 4 * HEADS * ((1 + GRIDS[-1] ** 2) ** 2 - (1 + GRIDS[-1] ** 2))
