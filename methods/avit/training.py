"""A-ViT's training: the backbone learns the task, and when its tokens halt; and its named recipes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dynvit.interface import Augment, Batch, Losses, OperatingPoint, Recipe, Scope, Stage
from dynvit.ops.precision import at_least_float32
from dynvit.recipes import CIFAR, DEIT_AUGMENT, IMAGENET_VIT, LARGE_IMAGES, decayed_groups
from dynvit.schedules import scaled_lr

from .options import AViTOptions


def finetune(options: AViTOptions, recipe: Recipe, depth: int, point: OperatingPoint) -> Stage:
    """The only stage: cross-entropy, α_p times the ponder, and α_d times the divergence from the depth prior.

    Args:
        options: the weights, where the recipe has none of its own, and the prior.
        recipe: the training.
        depth: the backbone's blocks.
        point: the trained one.
    """
    weights = {name: getattr(options, name) for name in ("ponder_weight", "prior_weight")}
    weights |= {name: own for name in weights if (own := getattr(recipe, name, None)) is not None}

    def loss(model: nn.Module, batch: Batch) -> Losses:
        prediction = model(batch.images, point)
        parts = {
            "cls": F.cross_entropy(at_least_float32(prediction.logits), batch.targets),
            "ponder": prediction.halted.ponder.mean(),
            "prior": prior_loss(prediction.halted.scores, options.prior_depth * depth, options.prior_deviation),
        }
        total = parts["cls"] + weights["ponder_weight"] * parts["ponder"] + weights["prior_weight"] * parts["prior"]
        return Losses(total, parts | {"blocks": prediction.halted.steps.double().mean()})

    return Stage(
        name="halt",
        epochs=recipe.epochs,
        groups=lambda model: decayed_groups(model.named_parameters(), recipe),
        loss=loss,
    )


def prior_loss(scores: Tensor, depth: float, deviation: float) -> Tensor:
    """KL(prior ‖ scores), both as distributions over blocks: a Gaussian, and the mean halting score in each block.

    Shape: scores (blocks,) → scalar, in nats. Units: ``depth`` and ``deviation`` in blocks, counted from 0.

    >>> gaussian = torch.tensor([-0.5, 0.0, -0.5]).exp()
    >>> round(abs(float(prior_loss(0.1 * gaussian, 1.0, 1.0))), 6)
    0.0
    """
    blocks = torch.arange(len(scores), dtype=scores.dtype, device=scores.device)
    log_prior = torch.log_softmax(-0.5 * ((blocks - depth) / deviation) ** 2, 0)
    # The bound is for a block in which no token scores at all; it leaves that block without gradient.
    least = torch.finfo(scores.dtype).tiny
    log_scores = (scores / scores.sum().clamp(min=least)).clamp(min=least).log()
    return (log_prior.exp() * (log_prior - log_scores)).sum()


@dataclass(frozen=True)
class AViTRecipe(Recipe):
    """A recipe whose ``ponder_weight`` and ``prior_weight`` replace the options of these names, None to leave them."""

    ponder_weight: float | None = None
    prior_weight: float | None = None


README = AViTRecipe(
    epochs=100,
    batch_size=384,
    lr=scaled_lr(3e-4, 384, per=512),
    warmup_epochs=5,
    min_lr=1e-5,
    ema_decay=0.99996,
    augment=replace(DEIT_AUGMENT, repeats=3),
    scope=IMAGENET_VIT,
    source="README of NVlabs/A-ViT at 120c9cb, the command for DeiT-S on four devices, and its code's defaults. "
    "Its stochastic depth of 0.1 is left out: tokens of all images are rows of one matrix",
)

# The published weights change nothing within a few epochs. On digits, at a ponder of 0.1 or a prior of 0.02, all images
# leave after two blocks, at 75 %; clipped gradients and a prior as heavy as the ponder keep training away from that.
RECIPES = {
    "imagenet": README,
    "imagenet-tiny": replace(
        README,
        batch_size=512,
        lr=5e-4,
        scope=Scope(backbones=("deit_tiny*", "vit_tiny*"), from_size=LARGE_IMAGES, by_name=True),
        source=README.source.replace("DeiT-S", "DeiT-T"),
    ),
    "digits": AViTRecipe(
        epochs=24,
        batch_size=64,
        lr=4e-3,
        warmup_epochs=1,
        clip_grad=1.0,
        augment=Augment(flip=0.0, padding=1),
        scope=Scope(datasets=("digits",)),
        ponder_weight=0.07,
        prior_weight=0.1,
        source="ours: seconds on two cores, from a backbone of 8×8 digits; chosen on validation images of data seed 0",
    ),
    "cifar10": AViTRecipe(
        epochs=3,
        batch_size=64,
        lr=1e-4,
        warmup_epochs=0.2,
        augment=Augment(flip=0.5, padding=4),
        clip_grad=1.0,
        scope=Scope(datasets=CIFAR),
        ponder_weight=0.05,
        prior_weight=0.1,
        source="ours, after that for digits, not measured: a few epochs from a DeiT fine-tuned at a small size",
    ),
}
