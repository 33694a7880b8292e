"""From a target to the share of everything that is trained for it."""

from __future__ import annotations

import torch

from dynvit import cost
from dynvit.backbones.targets import ratio_within

from .masks import Masks
from .model import AdaViTModel
from .options import DIMENSIONS
from .policy import Policy

LEAST = 0.05
"""The least share of layers, heads and tokens that a target may ask for."""


def macs_at(model: AdaViTModel, ratio: float) -> float:
    """The expected cost of one image where each decided gate is open at this rate, by itself. Units: MACs."""
    shape, like, masks = model.vit.shape, torch.ones(1, dtype=torch.float64), []
    for policy in model.policies:
        keep = Masks.keep_all(1, shape.heads, shape.patches, like)
        assert isinstance(policy, Policy)
        open_at = {name: getattr(keep, name) * (ratio if name in policy.gates else 1) for name in DIMENSIONS}
        masks.append(Masks(**open_at))
    return float(cost.macs(model.usage(masks)))


def dense_macs(model: AdaViTModel) -> int:
    """The cost of one image where everything runs and no gate is asked: the backbone. Units: MACs."""
    shape = model.vit.shape
    keep = Masks.keep_all(1, shape.heads, shape.patches, torch.ones(1)).to(torch.bool)
    return int(cost.macs(model.usage([keep] * shape.depth, asked=())))


def ratio_for(target: float, model: AdaViTModel) -> float:
    """The highest share, in thousandths, at which an image is expected to cost at most ``target``.

    Units: ``target`` as a fraction of the backbone's MACs. Raises: ``InputError`` that names the feasible range.
    """
    return ratio_within(
        target,
        lambda share: macs_at(model, share),
        LEAST,
        "method adavit",
        dense=dense_macs(model),
        of=f"a share of {', '.join(model.options.dimensions)} of",
    )
