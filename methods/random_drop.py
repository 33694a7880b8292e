"""The random control: drop patches at random, as many and at the same blocks as other methods."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from optuna.distributions import BaseDistribution, FloatDistribution
from torch import Tensor, nn

from dynvit.backbones.block import masked_attention_output, mlp_output
from dynvit.backbones.vit import PlainViT
from dynvit.interface import EVERY_TRAIT, DynamicModel, Method, OperatingPoint, Prediction, Usage, register_method
from dynvit.ops.schedule import kept_from_block, prune_blocks
from dynvit.ops.tokens import keep_patches, mask_of


@dataclass(frozen=True)
class RandomDropOptions:
    """Where tokens are dropped, and by which random order.

    ``stages``: how many times, evenly spread over the depth; stage s keeps ρ^s of the original patches.
    ``seed``: of the random order.
    """

    stages: int = 3
    seed: int = 0


@dataclass(frozen=True)
class RandomDropPrediction(Prediction):
    """The order in which patches were drawn. Shape: ``order`` (B, N)."""

    order: Tensor


class RandomDropModel(DynamicModel):
    """A plain ViT that drops patches at random."""

    neutral = OperatingPoint(keep_ratio=1.0)
    supports = frozenset({"frozen gates"})

    def __init__(self, backbone: nn.Module, options: RandomDropOptions) -> None:
        super().__init__()
        self.backbone = backbone
        self.vit = PlainViT(backbone, needed_by="method random", serves=RandomDrop.serves)
        self.prune_at = prune_blocks(self.vit.shape.depth, options.stages)
        self.seed = options.seed

    def forward(self, images: Tensor, point: OperatingPoint) -> RandomDropPrediction:
        """All tokens are computed; dropped ones are no keys. The random order has no gradient.

        Shape: images (B, 3, H, W) → logits (B, classes). Units: pixels in [0, 1].
        """
        return self._masked(images, point, random_order(images, self.vit.shape.patches, self.seed))

    def forward_frozen(self, images: Tensor, point: OperatingPoint, decided: Prediction) -> RandomDropPrediction:
        """``forward`` with the patches that were drawn for an earlier one.

        Shape: images (B, 3, H, W) → logits (B, classes). Units: pixels in [0, 1].
        """
        assert isinstance(decided, RandomDropPrediction)
        return self._masked(images, point, decided.order)

    def _masked(self, images: Tensor, point: OperatingPoint, order: Tensor) -> RandomDropPrediction:
        counts, prefix = self._counts(point), self.vit.shape.prefix
        tokens = self.vit.embed(images)
        policy = torch.ones_like(tokens[:, :, 0])
        for index, block in enumerate(self.vit.blocks):
            if index in counts:
                kept = mask_of(order[:, : counts[index]], policy[:, prefix:])
                policy = torch.cat([policy[:, :prefix], kept], dim=1)
            tokens = mlp_output(block, masked_attention_output(block, tokens, policy))
        return RandomDropPrediction(self.vit.classify(tokens, policy), self._usage(images, counts), order)

    def predict(self, images: Tensor, point: OperatingPoint) -> Prediction:
        """Dropped tokens are removed before the block.

        Shape: images (B, 3, H, W) → logits (B, classes). Units: pixels in [0, 1].
        """
        counts, order = self._counts(point), random_order(images, self.vit.shape.patches, self.seed)
        tokens, prefix = self.vit.embed(images), self.vit.shape.prefix
        for index, block in enumerate(self.vit.blocks):
            if index in counts and prefix + counts[index] < tokens.shape[1]:
                drawn = tokens.shape[1] < self.vit.shape.tokens
                # The first stage brings the tokens into the random order; each later one keeps the first of them.
                kept = order[:, : counts[index]]
                tokens = tokens[:, : prefix + counts[index]] if drawn else keep_patches(tokens, kept, prefix)
            tokens = block(tokens)
        return Prediction(self.vit.classify(tokens), self._usage(images, counts))

    def _counts(self, point: OperatingPoint) -> dict[int, int]:
        return kept_from_block(self.vit.shape.patches, point.number("keep_ratio"), self.prune_at)

    def _usage(self, images: Tensor, counts: dict[int, int]) -> Usage:
        present, tokens = self.vit.shape.tokens, list[int]()
        for index in range(self.vit.shape.depth):
            present = self.vit.shape.prefix + counts[index] if index in counts else present
            tokens.append(present)
        return self.vit.usage(images, tokens)


def random_order(images: Tensor, patches: int, seed: int) -> Tensor:
    """A random order of each image's patches, seeded by ``seed`` and the image's pixels.

    It is the same in any batch, process and number type, and different for each image.

    Shape: images (B, 3, H, W) → (B, patches), int64. Units: pixels in [0, 1].
    """
    pixels = (images.detach() * 255).round().clamp(0, 255).to("cpu", torch.uint8).numpy()
    orders = [np.random.default_rng([seed, zlib.crc32(image.tobytes())]).permutation(patches) for image in pixels]
    return torch.from_numpy(np.stack(orders)).to(images.device)


@register_method("random")
class RandomDrop(Method[RandomDropOptions]):
    """Random token dropping on any plain ViT."""

    summary = "control: drop patches at random; no training"
    varies = ("tokens",)
    Options = RandomDropOptions
    adaptive_cost = False
    budget_knob = "keep_ratio"
    serves = EVERY_TRAIT
    _keep: ClassVar[BaseDistribution] = FloatDistribution(0.25, 1.0)

    def knobs(self, options: RandomDropOptions) -> Mapping[str, BaseDistribution]:
        """``keep_ratio``: ρ, the share of patches that the first stage keeps."""
        return {"keep_ratio": self._keep}

    def attach(self, backbone: nn.Module, options: RandomDropOptions) -> DynamicModel:
        """A plain ViT with a class token."""
        return RandomDropModel(backbone, options)
