"""The control for methods whose last block computes the class token's row alone, as DVT's does: so can the backbone.

The answer is the backbone's, digit for digit: the head reads no other row. Nearly a twelfth of DeiT's compute is saved,
and no method should be credited with that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from optuna.distributions import BaseDistribution
from torch import Tensor, nn

from dynvit.backbones.class_row import class_row_block, class_row_parts
from dynvit.backbones.vit import PlainViT
from dynvit.interface import DynamicModel, Method, OperatingPoint, Prediction, Trait, Usage, register_method
from dynvit.ops.upload import uploaded


@dataclass(frozen=True)
class ClassRowOptions:
    """Nothing to choose."""


class ClassRowModel(DynamicModel):
    """A plain ViT that runs whole but for the rows of its last block that nothing reads."""

    neutral = OperatingPoint()

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.vit = PlainViT(backbone, needed_by="method classrow", serves=ClassRow.serves)

    def forward(self, images: Tensor, point: OperatingPoint) -> Prediction:
        """Shape: images (B, 3, H, W) → logits (B, classes). Units: pixels in [0, 1]."""
        vit, count, last = self.vit, self.vit.shape.tokens, self.vit.shape.depth - 1
        *before, final = vit.blocks
        tokens = vit.embed(images)
        for block in before:
            tokens = block(tokens)
        parts = [part for index in range(last) for part in vit.block_parts(index, count)]
        parts += class_row_parts(vit, last)
        ran = uploaded([count] * last + [1], images.device).expand(len(images), -1)
        usage = Usage(len(images), (*vit.embed_parts(), *parts, *vit.classify_parts()), tokens=ran)
        return Prediction(vit.classify(class_row_block(final, tokens)), usage)

    predict = forward


@register_method("classrow")
class ClassRow(Method[ClassRowOptions]):
    """The backbone without the rows of its last block that its head does not read."""

    summary = "control: the whole backbone, of its last block the class token's row alone"
    Options = ClassRowOptions
    adaptive_cost = False
    serves: ClassVar[frozenset[Trait]] = frozenset({"registers", "gated MLPs"})
    by_default: ClassVar[bool] = False

    def knobs(self, options: ClassRowOptions) -> Mapping[str, BaseDistribution]:
        """None: there is one point."""
        return {}

    def attach(self, backbone: nn.Module, options: ClassRowOptions) -> DynamicModel:
        """A plain ViT with a class token that its head reads."""
        return ClassRowModel(backbone)
