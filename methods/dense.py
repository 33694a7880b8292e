"""The control that every other method is compared with: the whole backbone for every image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch.nn.functional as F
from optuna.distributions import BaseDistribution
from torch import Tensor, nn

from dynvit.backbones.whole import adapter_or_whole
from dynvit.interface import (
    EVERY_TRAIT,
    Augment,
    Batch,
    DynamicModel,
    Losses,
    Method,
    OperatingPoint,
    Prediction,
    Recipe,
    Scope,
    Stage,
    Usage,
    register_method,
)
from dynvit.ops.upload import uploaded
from dynvit.recipes import CIFAR, DEIT_AUGMENT, decayed_groups


@dataclass(frozen=True)
class DenseOptions:
    """Nothing to choose."""


class DenseModel(DynamicModel):
    """A backbone that runs whole: any image classifier of timm's."""

    neutral = OperatingPoint()

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.adapter = adapter_or_whole(backbone, needed_by="method dense")

    def forward(self, images: Tensor, point: OperatingPoint) -> Prediction:
        """Shape: images (B, 3, H, W) → logits (B, classes). Units: pixels in [0, 1]."""
        tokens = self.adapter.embed(images)
        for block in self.adapter.blocks:
            tokens = block(tokens)
        ran = uploaded(self.adapter.block_tokens, images.device).expand(len(images), -1)
        usage = Usage(len(images), tuple(self.adapter.parts()), tokens=ran if self.adapter.block_tokens else None)
        return Prediction(self.adapter.classify(tokens), usage)

    predict = forward


@register_method("dense")
class Dense(Method[DenseOptions]):
    """The backbone itself; ``dynvit train --method dense`` trains or fine-tunes one."""

    summary = "control: the whole backbone for every image"
    Options = DenseOptions
    static = True
    serves = EVERY_TRAIT
    adaptive_cost = False
    recipes: ClassVar[Mapping[str, Recipe]] = {
        "finetune": Recipe(
            epochs=30,
            batch_size=1024,
            lr=1e-4,
            warmup_epochs=2,
            augment=DEIT_AUGMENT,
            ema_decay=0.9999,
            source="DeiT's augmentation (arXiv 2012.12877, Table 9) at a fine-tuning rate",
        ),
        "digits": Recipe(
            epochs=40,
            batch_size=64,
            lr=4e-3,
            warmup_epochs=2,
            augment=Augment(flip=0.0, padding=1, smoothing=0.1),
            scope=Scope(datasets=("digits",)),
            source="ours: from scratch on 8×8 digits in under a minute on two cores; chosen on the calibration split",
        ),
        "cifar10": Recipe(
            epochs=3,
            batch_size=64,
            lr=2e-4,
            warmup_epochs=0.2,
            augment=Augment(flip=0.5, padding=4, smoothing=0.1),
            scope=Scope(datasets=CIFAR),
            source="ours: fine-tuning an ImageNet DeiT at a small resolution on two cores",
        ),
        "imagenette": Recipe(
            epochs=1,
            batch_size=64,
            lr=1e-4,
            warmup_epochs=0.1,
            augment=Augment(flip=0.5, crop_scale=0.6, smoothing=0.1),
            scope=Scope(datasets=("imagenette",)),
            source="ours: an ImageNet DeiT learns ten of its classes at 160 pixels in minutes on one core",
        ),
    }

    def knobs(self, options: DenseOptions) -> Mapping[str, BaseDistribution]:
        """None: there is one point."""
        return {}

    def attach(self, backbone: nn.Module, options: DenseOptions) -> DynamicModel:
        """The backbone as a ``DynamicModel``."""
        return DenseModel(backbone)

    def stages(self, model: DynamicModel, recipe: Recipe) -> Sequence[Stage]:
        """One stage of cross-entropy on all parameters."""
        return [
            Stage(
                name="finetune",
                epochs=recipe.epochs,
                groups=lambda model: decayed_groups(model.named_parameters(), recipe),
                loss=cross_entropy,
            )
        ]


def cross_entropy(model: nn.Module, batch: Batch) -> Losses:
    """Cross-entropy with soft targets at the only point."""
    prediction: Prediction = model(batch.images, OperatingPoint())
    return Losses(F.cross_entropy(prediction.logits.float(), batch.targets))
