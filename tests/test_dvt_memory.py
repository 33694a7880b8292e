"""What training keeps for the relationship maps: what autograd must, by the sum in docs/methods/dvt.md."""

from __future__ import annotations

import timm
import torch
from torch import Tensor

import dynvit.backbones.small  # noqa: F401 - registers vit_digits with timm
from dynvit.interface import OperatingPoint
from dynvit_methods.dvt import DVTOptions
from dynvit_methods.dvt.cascade import Cascade

GRIDS, HEADS, DEPTH, WIDTH, EXPANSION = (2, 3, 4), 3, 6, 48, 3


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


def an_image(relations: str) -> int:
    """Bytes for one image more."""
    options = DVTOptions(grids=GRIDS, feature_reuse="off", relation_reuse=relations)  # type: ignore[arg-type]
    model = Cascade(timm.create_model("vit_digits"), options).train()
    return kept(model, 3) - kept(model, 2)


def test_relations_keep_what_autograd_must_and_little_more() -> None:
    channels, *tokens = HEADS * DEPTH, *(1 + grid**2 for grid in GRIDS)
    handing, last = tokens[:-1], tokens[-1]
    must = sum((2 + 2 * EXPANSION) * channels * n**2 for n in handing) + HEADS * (DEPTH - 1) * last**2
    spare = sum(2 * EXPANSION * channels**2 + DEPTH * n * WIDTH for n in handing)
    added = an_image("full") - an_image("off")
    grown = 4 * HEADS * (DEPTH - 1) * last**2  # what keeping the grown maps would add
    assert 4 * must <= added < 4 * (must + spare) + grown / 2
