"""A strong control: keep the patches that the class token attends to most. No training.

At three blocks, between attention and MLP, ⌊N·ρ^s⌋ patches stay. The counts are TokenReduction's
(arXiv 2308.04657), whose finding it is that this simple rule holds against most learned ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from optuna.distributions import BaseDistribution, FloatDistribution
from torch import Tensor, nn

from dynvit.backbones.block import class_attention, masked_attention_output, masked_class_attention, mlp_output
from dynvit.backbones.vit import PlainViT
from dynvit.interface import Citation, DynamicModel, Method, OperatingPoint, Prediction, Trait, Usage, register_method
from dynvit.ops.gates import straight_through
from dynvit.ops.schedule import kept_from_block, prune_blocks
from dynvit.ops.tokens import keep_patches, mask_of, top_k


@dataclass(frozen=True)
class TopKOptions:
    """Where tokens are dropped.

    ``stages``: how many times, evenly spread over the depth; stage s keeps ρ^s of the original patches.
    """

    stages: int = 3


@dataclass(frozen=True)
class TopKPrediction(Prediction):
    """Which patches each stage kept. Shape: ``masks``, one (B, N) a stage, 1 where a patch stays."""

    masks: tuple[Tensor, ...]


class TopKModel(DynamicModel):
    """A plain ViT that drops the patches that its class token attends to least."""

    neutral = OperatingPoint(keep_ratio=1.0)
    supports = frozenset({"frozen gates"})

    def __init__(self, backbone: nn.Module, options: TopKOptions) -> None:
        super().__init__()
        self.backbone = backbone
        self.vit = PlainViT(backbone, needed_by="method topk", serves=TopK.serves)
        self.prune_at = prune_blocks(self.vit.shape.depth, options.stages)

    def forward(self, images: Tensor, point: OperatingPoint) -> TopKPrediction:
        """All tokens are computed; dropped ones are no keys, and gradients pass straight through the choice.

        Shape: images (B, 3, H, W) → logits (B, classes). Units: pixels in [0, 1].
        """
        return self._masked(images, point)

    def forward_frozen(self, images: Tensor, point: OperatingPoint, decided: Prediction) -> TopKPrediction:
        """``forward`` with the patches that an earlier one kept.

        Shape: images (B, 3, H, W) → logits (B, classes). Units: pixels in [0, 1].
        """
        assert isinstance(decided, TopKPrediction)
        return self._masked(images, point, decided.masks)

    def _masked(self, images: Tensor, point: OperatingPoint, given: Sequence[Tensor] = ()) -> TopKPrediction:
        counts, masks, prefix = self._counts(point), list[Tensor](), self.vit.shape.prefix
        tokens = self.vit.embed(images)
        policy = torch.ones_like(tokens[:, :, 0])
        for index, block in enumerate(self.vit.blocks):
            if index in counts:
                tokens, scores = masked_class_attention(block, tokens, policy, prefix)
                if given:
                    kept = given[len(masks)].detach()
                else:
                    hard = mask_of(top_k(scores, counts[index], among=policy[:, prefix:]), scores)
                    # The attention itself is the soft choice: patches of higher attention are closer to being kept.
                    kept = straight_through(hard, scores)
                masks.append(kept)
                policy = torch.cat([policy[:, :prefix], kept], dim=1)
            else:
                tokens = masked_attention_output(block, tokens, policy)
            tokens = mlp_output(block, tokens)
        return TopKPrediction(self.vit.classify(tokens, policy), self._usage(images, counts), tuple(masks))

    def predict(self, images: Tensor, point: OperatingPoint) -> Prediction:
        """Dropped tokens are removed before the block's MLP.

        Shape: images (B, 3, H, W) → logits (B, classes). Units: pixels in [0, 1].
        """
        counts, prefix = self._counts(point), self.vit.shape.prefix
        tokens = self.vit.embed(images)
        for index, block in enumerate(self.vit.blocks):
            if index in counts:
                tokens, scores = class_attention(block, tokens, prefix=prefix)
                tokens = mlp_output(block, keep_patches(tokens, top_k(scores, counts[index]), prefix))
            else:
                tokens = block(tokens)
        return Prediction(self.vit.classify(tokens), self._usage(images, counts))

    def _counts(self, point: OperatingPoint) -> dict[int, int]:
        return kept_from_block(self.vit.shape.patches, point.number("keep_ratio"), self.prune_at)

    def _usage(self, images: Tensor, counts: dict[int, int]) -> Usage:
        entering, tokens, mlp_tokens = self.vit.shape.tokens, list[int](), list[int]()
        for index in range(self.vit.shape.depth):
            tokens.append(entering)
            entering = self.vit.shape.prefix + counts[index] if index in counts else entering
            mlp_tokens.append(entering)
        return self.vit.usage(images, tokens, mlp_tokens)


@register_method("topk")
class TopK(Method[TopKOptions]):
    """Class-attention top-k on any plain ViT."""

    summary = "control: keep the patches that the class token attends to most; no training"
    venue, year, varies = "ICCVW", 2023, ("tokens",)
    paper = Citation(
        "Which Tokens to Use? Investigating Token Reduction in Vision Transformers",
        ("Haurum, Joakim Bruslund", "Escalera, Sergio", "Taylor, Graham W.", "Moeslund, Thomas B."),
        arxiv="2308.04657",
    )
    Options = TopKOptions
    adaptive_cost = False
    budget_knob = "keep_ratio"
    serves: ClassVar[frozenset[Trait]] = frozenset({"registers", "distillation token", "average pooling", "gated MLPs"})
    _keep: ClassVar[BaseDistribution] = FloatDistribution(0.25, 1.0)

    def knobs(self, options: TopKOptions) -> Mapping[str, BaseDistribution]:
        """``keep_ratio``: ρ, the share of patches that the first stage keeps."""
        return {"keep_ratio": self._keep}

    def attach(self, backbone: nn.Module, options: TopKOptions) -> DynamicModel:
        """A plain ViT with a class token."""
        return TopKModel(backbone, options)
