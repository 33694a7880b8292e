"""The static control for early exits: the first blocks alone, with a head refitted for each depth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from optuna.distributions import BaseDistribution, IntDistribution
from torch import Tensor, nn

from dynvit import cost
from dynvit.backbones.vit import PlainViT
from dynvit.errors import InputError
from dynvit.interface import (
    Augment,
    Batch,
    DynamicModel,
    Losses,
    Method,
    OperatingPoint,
    Part,
    Prediction,
    Recipe,
    Stage,
    Trait,
    Usage,
    register_method,
)
from dynvit.ops.upload import uploaded
from dynvit.recipes import decayed_groups


@dataclass(frozen=True)
class DepthOptions:
    """Nothing to choose: every depth gets its head."""


@dataclass(frozen=True)
class DepthPrediction(Prediction):
    """In training the answer of every head, else none. Shape: ``every``, one (B, classes) a head."""

    every: tuple[Tensor, ...]


class DepthModel(DynamicModel):
    """A plain ViT that is cut after some block; at full depth it is the backbone."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone, self.vit = backbone, PlainViT(backbone, needed_by="method depth", serves=Depth.serves)
        self.neutral = OperatingPoint(blocks=self.vit.shape.depth)
        first = nn.Sequential(self.vit.model.norm, self.vit.model.head)
        self.heads = nn.ModuleList(deepcopy(first) for _ in range(self.vit.shape.depth - 1))

    def forward(self, images: Tensor, point: OperatingPoint) -> DepthPrediction:
        """In training all blocks run, and every head answers.

        Shape: images (B, 3, H, W) → logits (B, classes). Units: pixels in [0, 1].
        """
        return self._run(images, point, every=self.training)

    def predict(self, images: Tensor, point: OperatingPoint) -> DepthPrediction:
        """Shape: images (B, 3, H, W) → logits (B, classes). Units: pixels in [0, 1]."""
        return self._run(images, point, every=False)

    def _run(self, images: Tensor, point: OperatingPoint, every: bool) -> DepthPrediction:
        vit, kept, depth = self.vit, int(point.number("blocks")), self.vit.shape.depth
        if not 1 <= kept <= depth:
            raise InputError(f"knob blocks must be 1 to {depth} on this backbone, got {kept}")
        tokens, seen = vit.embed(images), list[Tensor]()
        for block in vit.blocks[: depth if every else kept]:
            tokens = block(tokens)
            seen.append(tokens[:, 0])
        answers = tuple(head(seen[index]) for index, head in enumerate(self.heads)) if every else ()
        whole = kept == depth
        logits = vit.classify(tokens) if whole else answers[kept - 1] if every else self.heads[kept - 1](seen[-1])
        return DepthPrediction(logits, self._usage(images, kept), answers)

    def _usage(self, images: Tensor, kept: int) -> Usage:
        vit, count, depth = self.vit, self.vit.shape.tokens, self.vit.shape.depth
        blocks = [part for index in range(kept) for part in vit.block_parts(index, count)]
        head: list[Part] = vit.classify_parts(count)
        if kept < depth:
            name, s = f"heads.{kept - 1}", vit.shape
            head = [cost.Normalization(f"{name}.0", s.width), cost.Linear(f"{name}.1", 1, s.width, s.classes)]
        ran = uploaded([count] * kept + [0] * (depth - kept), images.device).expand(len(images), -1)
        return Usage(len(images), (*vit.embed_parts(), *blocks, *head), tokens=ran)


IMAGENET = Recipe(
    epochs=5,
    batch_size=1024,
    lr=1e-3,
    warmup_epochs=1,
    augment=Augment(crop_scale=0.08),
    source="ours: linear probes, as they are usual; the backbone is not trained",
)
DIGITS = Recipe(
    epochs=12,
    batch_size=64,
    lr=4e-3,
    warmup_epochs=1,
    augment=Augment(flip=0.0, padding=1),
    source="ours: seconds on two cores, from a backbone trained on 8×8 digits",
)
CIFAR_10 = Recipe(
    epochs=2,
    batch_size=64,
    lr=1e-3,
    warmup_epochs=0.2,
    augment=Augment(flip=0.5, padding=4),
    source="ours: minutes on two cores, from a DeiT fine-tuned on CIFAR-10 at a small resolution",
)


@register_method("depth")
class Depth(Method[DepthOptions]):
    """The first blocks of any plain ViT."""

    summary = "control: the first blocks alone, with a head for each depth"
    varies = ("depth",)
    Options = DepthOptions
    needs_training = True
    adaptive_cost = False
    budget_knob = "blocks"
    serves: ClassVar[frozenset[Trait]] = frozenset({"registers", "gated MLPs"})
    by_default: ClassVar[bool] = False
    recipes: ClassVar[Mapping[str, Recipe]] = {"probe": IMAGENET, "digits": DIGITS, "cifar10": CIFAR_10}

    def knobs(self, options: DepthOptions, backbone: nn.Module) -> Mapping[str, BaseDistribution]:
        """``blocks``: how many of the first blocks run."""
        return {"blocks": IntDistribution(1, PlainViT(backbone, "method depth", serves=self.serves).shape.depth)}

    def attach(self, backbone: nn.Module, options: DepthOptions) -> DynamicModel:
        """A plain ViT with a class token."""
        return DepthModel(backbone)

    def stages(self, model: DynamicModel, recipe: Recipe) -> Sequence[Stage]:
        """One stage: the heads, each by its own cross-entropy; the backbone stays as it is."""
        return [
            Stage(
                name="heads",
                epochs=recipe.epochs,
                groups=lambda model: decayed_groups(model.heads.named_parameters(), recipe),  # type: ignore[union-attr]
                loss=mean_cross_entropy,
            )
        ]


def mean_cross_entropy(model: nn.Module, batch: Batch) -> Losses:
    """The mean over heads of the cross-entropy with soft targets."""
    prediction: DepthPrediction = model(batch.images, OperatingPoint(blocks=1))
    each = [F.cross_entropy(logits.float(), batch.targets) for logits in prediction.every]
    return Losses(torch.stack(each).mean(), {"first": each[0].detach(), "last": each[-1].detach()})
