"""Pairs: from the middle of the network on, neighbouring patches are one token, their mean. No training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from optuna.distributions import BaseDistribution, FloatDistribution
from torch import Tensor, nn

from dynvit.backbones.vit import PlainViT
from dynvit.errors import InputError
from dynvit.interface import DynamicModel, Method, OperatingPoint, Prediction, Usage


@dataclass(frozen=True)
class PairsOptions:
    """Where patches are merged.

    ``at``: the share of blocks that run before, in [0, 1).
    """

    at: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.at < 1:
            raise InputError(f"option at of pairs is a share of the depth in [0, 1), not {self.at:g}")


class PairsModel(DynamicModel):
    """A plain ViT whose first pairs of patches, in raster order, become one token each."""

    neutral = OperatingPoint(merged=0.0)

    def __init__(self, backbone: nn.Module, options: PairsOptions) -> None:
        super().__init__()
        self.backbone = backbone
        self.vit = PlainViT(backbone, needed_by="method pairs")
        self.merge_at = int(self.vit.shape.depth * options.at)

    def forward(self, images: Tensor, point: OperatingPoint) -> Prediction:
        """Shape: images (B, 3, H, W) → logits (B, classes). Units: pixels in [0, 1]."""
        pairs = int(point.number("merged") * (self.vit.shape.patches // 2))
        tokens, counts = self.vit.embed(images), []
        for index, block in enumerate(self.vit.blocks):
            tokens = average_pairs(tokens, pairs) if index == self.merge_at else tokens
            tokens = block(tokens)
            counts.append(tokens.shape[1])
        parts = [part for index, n in enumerate(counts) for part in self.vit.block_parts(index, n)]
        whole = (*self.vit.embed_parts(), *parts, *self.vit.classify_parts(counts[-1]))
        ran = torch.tensor(counts, device=images.device).expand(len(images), -1)
        return Prediction(self.vit.classify(tokens), Usage(len(images), whole, tokens=ran))

    predict = forward  # the differentiable form already skips the work


def average_pairs(tokens: Tensor, pairs: int) -> Tensor:
    """The class token, the means of the first ``pairs`` pairs of neighbours, the other patches.

    Shape: (B, 1 + n, D) → (B, 1 + n − pairs, D).
    """
    first, merged, rest = tokens.split([1, 2 * pairs, tokens.shape[1] - 1 - 2 * pairs], dim=1)
    return torch.cat([first, merged.unflatten(1, (pairs, 2)).mean(2), rest], dim=1)


class Pairs(Method[PairsOptions]):
    """Averaging neighbouring patches on any plain ViT."""

    summary = "average neighbouring patches from the middle on; no training"
    Options = PairsOptions
    adaptive_cost = False
    budget_knob = "merged"

    def knobs(self, options: PairsOptions) -> Mapping[str, BaseDistribution]:
        """``merged``: the share of the pairs that are merged."""
        return {"merged": FloatDistribution(0.0, 1.0)}

    def attach(self, backbone: nn.Module, options: PairsOptions) -> DynamicModel:
        """A plain ViT with a class token."""
        return PairsModel(backbone, options)
