"""From a target to the keep ratio that is trained for it."""

from __future__ import annotations

import torch

from dynvit import cost
from dynvit.backbones.targets import ratio_within

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
    return ratio_within(target, lambda ratio: macs_at(model, ratio), LOWEST_RATIO, "method dynamicvit")
