"""MIA-Former models whose controllers differ from image to image, as after training, and blocks with drawn weights."""

from __future__ import annotations

from typing import Any

import timm
import torch
from torch import nn

import dynvit.backbones.small  # noqa: F401 - registers vit_digits with timm
from dynvit_methods.mia import MIAFormer, MIAModel, MIAOptions


def spread(model: MIAModel, scale: float = 1.0, shift: float = 0.8, seed: int = 0) -> MIAModel:
    """Actors whose logits are far apart: most open, some shut, and not the same for all images."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, actor in model.controllers.named_modules():
            if name.endswith("_actor") and isinstance(actor, nn.Linear):
                drawn = torch.randn(actor.weight.shape, generator=generator)
                actor.weight.copy_(scale * 60 * drawn / actor.in_features**0.5)
                actor.bias.copy_(scale * (shift + torch.randn(actor.bias.shape, generator=generator)))
    return model


def drawn_backbone(name: str = "vit_digits", **settings: Any) -> nn.Module:
    """A backbone whose blocks do something: fresh ones hardly touch the residual stream."""
    torch.manual_seed(0)
    backbone = timm.create_model(name, **settings)
    with torch.no_grad():
        for parameter in backbone.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=1.5 * parameter[0].numel() ** -0.5)
            else:
                parameter.add_(torch.randn_like(parameter), alpha=0.3)
    return backbone


def mixed(name: str = "vit_digits", **options: Any) -> MIAModel:
    """A model in float64 and eval mode that drops something of everything."""
    torch.manual_seed(1)
    model = MIAFormer().attach(drawn_backbone(name), MIAOptions(**options))
    assert isinstance(model, MIAModel)
    return spread(model.double().eval())


def images(batch: int = 6, edge: int = 8) -> torch.Tensor:
    """Units: pixels in [0, 1]."""
    return torch.rand(batch, 3, edge, edge, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
