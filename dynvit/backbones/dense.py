"""MACs of the static backbone: every saving is relative to them."""

from __future__ import annotations

import torch
from torch import nn

from dynvit import cost
from dynvit.backbones.adapter import adapter_for
from dynvit.backbones.build import image_size
from dynvit.errors import InputError
from dynvit.interface import Rule, Usage


def dense_macs(backbone: nn.Module, rule: Rule = "matmul+conv") -> int:
    """MACs of one image through the whole backbone.

    By the rule ``matmul+conv`` they are what torch executes, for any timm model; other rules have a closed form, for
    backbones that have an adapter.

    Units: MACs. Raises: ``InputError`` for an unknown rule, another rule on a backbone without adapter, and an image
    size that the backbone does not take.
    """
    if rule != "matmul+conv":
        usage = Usage(1, tuple(adapter_for(backbone, needed_by=f"the rule {rule}").parts()))
        return int(cost.macs(usage, rule))
    parameter = next(backbone.parameters())
    image = torch.zeros(1, 3, *image_size(backbone), dtype=parameter.dtype, device=parameter.device)
    was_training = backbone.training
    try:
        return cost.count_executed(lambda: backbone.eval()(image))
    except (RuntimeError, AssertionError, ValueError) as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        reason = str(error).partition("\n")[0] or type(error).__name__
        size = "×".join(map(str, image.shape[2:]))
        raise InputError(f"{type(backbone).__name__} does not take images of {size} pixels: {reason}") from error
    finally:
        backbone.train(was_training)
