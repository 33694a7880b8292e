"""The control that papers forget: the same backbone on a smaller image. No training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from optuna.distributions import BaseDistribution, IntDistribution
from torch import Tensor, nn

from dynvit.backbones.t2t import TokensToToken
from dynvit.backbones.vit import PlainViT
from dynvit.errors import InputError
from dynvit.interface import EVERY_TRAIT, DynamicModel, Method, OperatingPoint, Prediction, Usage, register_method


@dataclass(frozen=True)
class ResolutionOptions:
    """Nothing to choose."""


class ResolutionModel(DynamicModel):
    """A plain ViT that resizes its images and positions to fewer patches.

    It takes the same images as the others and resizes them itself, so that an attack's ε means the same.
    """

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone, self.vit = backbone, PlainViT(backbone, needed_by="method resolution", serves=Resolution.serves)
        if isinstance(backbone.patch_embed, TokensToToken):
            raise InputError(
                "method resolution cannot serve a T2T backbone, whose tokeniser takes one size only: it takes a plain "
                "timm ViT with a class token, deit_tiny_patch16_224 for one"
            )
        self.neutral = OperatingPoint(size=self.sizes.high)

    @property
    def sizes(self) -> IntDistribution:
        """Heights that are whole patches, from a quarter of the image's on. Units: pixels."""
        rows, pixels = self.vit.shape.grid[0], self.vit.shape.patch_size[0]
        return IntDistribution(max(1, rows // 4) * pixels, rows * pixels, step=pixels)

    def forward(self, images: Tensor, point: OperatingPoint) -> Prediction:
        """Shape: images (B, 3, H, W) → logits (B, classes). Units: pixels in [0, 1]."""
        vit, size, known = self.vit, int(point.number("size")), self.sizes
        if not known.low <= size <= known.high or size % known.step:
            raise InputError(
                f"knob size must be {known.low} to {known.high} pixels in steps of {known.step}, got {size}"
            )
        rows = size // known.step
        grid = (rows, max(1, round(rows * vit.shape.grid[1] / vit.shape.grid[0])))
        tokens = vit.embed_at(images, grid)
        for block in vit.blocks:
            tokens = block(tokens)
        depth, count = vit.shape.depth, tokens.shape[1]
        blocks = [part for index in range(depth) for part in vit.block_parts(index, count)]
        parts = (*vit.embed_parts(grid[0] * grid[1]), *blocks, *vit.classify_parts(count))
        ran = torch.full((len(images), depth), count, device=images.device)
        return Prediction(vit.classify(tokens), Usage(len(images), parts, tokens=ran))

    predict = forward


@register_method("resolution")
class Resolution(Method[ResolutionOptions]):
    """A smaller input for any plain ViT."""

    summary = "control: the backbone on a smaller image; no training"
    varies = ("resolution",)
    Options = ResolutionOptions
    adaptive_cost = False
    budget_knob = "size"
    serves = EVERY_TRAIT
    by_default: ClassVar[bool] = False

    def knobs(self, options: ResolutionOptions, backbone: nn.Module) -> Mapping[str, BaseDistribution]:
        """``size``: the height that images are resized to, in pixels."""
        return {"size": ResolutionModel(backbone).sizes}

    def attach(self, backbone: nn.Module, options: ResolutionOptions) -> DynamicModel:
        """A plain ViT with a class token and a plain patch embedding."""
        return ResolutionModel(backbone)
