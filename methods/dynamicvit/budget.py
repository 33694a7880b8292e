"""From a target to the keep ratio that is trained for it."""

from __future__ import annotations

import torch

from dynvit import cost
from dynvit.errors import InputError

from .model import DynamicViTModel
from .options import LOWEST_RATIO, stage_counts


def macs_at(model: DynamicViTModel, ratio: float) -> int:
    """What one image costs at a keep ratio, in closed form; nothing runs. Units: MACs."""
    counts = stage_counts(model.vit.shape.patches, ratio, len(model.prune_at))
    return int(cost.macs(model.usage(torch.empty(1, 0), counts)))


def ratio_for(target: float, model: DynamicViTModel) -> float:
    """The highest keep ratio, in thousandths, at which an image costs at most ``target`` of the dense backbone.

    Units: ``target`` as a fraction of the backbone's MACs. Raises: ``InputError`` that names the reachable range.
    """
    dense = macs_at(model, 1.0)
    low, high = round(1000 * LOWEST_RATIO), 1000
    reach = macs_at(model, low / 1000) / dense
    if not reach <= target <= 1:
        raise InputError(
            f"target {target:g} is out of method dynamicvit's reach on this backbone: "
            f"from {reach:.3f} to 1 of the dense MACs (keep ratio {LOWEST_RATIO} to 1)"
        )
    if target == 1:
        return 1.0
    # Just below 1 the predictors cost more than the dropping saves: there the cost stands above the dense one and
    # every target, so the crossing that bisection finds is the only one.
    while high - low > 1:
        middle = (low + high) // 2
        if macs_at(model, middle / 1000) <= target * dense:
            low = middle
        else:
            high = middle
    return low / 1000
