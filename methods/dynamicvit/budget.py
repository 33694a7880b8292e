"""From a target to the keep ratio that is trained for it."""

from __future__ import annotations

import torch

from dynvit import cost
from dynvit.errors import InputError

from .model import DynamicViTModel
from .options import LOWEST_RATIO, stage_counts


def macs_at(model: DynamicViTModel, ratio: float) -> int:
    """The cost of one image at a keep ratio, in closed form. Units: MACs."""
    counts = stage_counts(model.vit.shape.patches, ratio, len(model.prune_at))
    return int(cost.macs(model.usage(torch.empty(1, 0), counts)))


def ratio_for(target: float, model: DynamicViTModel) -> float:
    """The highest keep ratio, in thousandths, at which an image costs at most ``target`` of the dense backbone.

    Units: ``target`` as a fraction of the backbone's MACs. Raises: ``InputError`` that names the feasible range.
    """
    dense = macs_at(model, 1.0)
    low, high = round(1000 * LOWEST_RATIO), 1000
    lowest = macs_at(model, low / 1000) / dense
    if not lowest <= target <= 1:
        raise InputError(
            f"a target of method dynamicvit on this backbone must be {lowest:.3f} to 1 of the dense MACs (keep ratio "
            f"{LOWEST_RATIO} to 1), got {target:g}"
        )
    if target == 1:
        return 1.0
    # Just below 1 the predictors cost more than the dropping saves: there the cost exceeds the dense one and every
    # target, so bisection finds the only crossing.
    while high - low > 1:
        middle = (low + high) // 2
        if macs_at(model, middle / 1000) <= target * dense:
            low = middle
        else:
            high = middle
    return low / 1000
