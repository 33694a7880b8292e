"""MACs of the static backbone: every saving is relative to them."""

from __future__ import annotations

import torch
from torch import nn

from dynvit import cost
from dynvit.backbones.adapter import adapter_for
from dynvit.backbones.build import image_size
from dynvit.interface import Rule, Usage


def dense_macs(backbone: nn.Module, rule: Rule = "matmul+conv") -> int:
    """MACs of one image through the whole backbone.

    By the rule ``matmul+conv`` they are what torch executes, for any timm model; fvcore's rule has a closed
    form for plain ViTs and LeViTs only.

    Units: MACs. Raises: ``InputError`` for fvcore's rule on any other backbone.
    """
    if rule == "fvcore":
        usage = Usage(1, tuple(adapter_for(backbone, needed_by="the rule fvcore").parts()))
        return int(cost.macs(usage, rule))
    parameter = next(backbone.parameters())
    image = torch.zeros(1, 3, *image_size(backbone), dtype=parameter.dtype, device=parameter.device)
    was_training = backbone.training
    try:
        return cost.count_executed(lambda: backbone.eval()(image))
    finally:
        backbone.train(was_training)
