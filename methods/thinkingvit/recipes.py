"""How the rounds are trained: the mean of their losses, by the published recipe and small ones of ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from dynvit.backbones.vit import set_drop_path
from dynvit.exits.model import ExitPrediction
from dynvit.interface import Augment, Batch, DynamicModel, Losses, OperatingPoint, ParamGroup, Recipe, Scope, Stage
from dynvit.recipes import CIFAR, DEIT_AUGMENT, IMAGENET_VIT, LARGE_IMAGES, decayed_groups
from dynvit.schedules import Schedule, cosine

from .model import ThinkingViTModel


@dataclass(frozen=True)
class ThinkingViTRecipe(Recipe):
    """A recipe with ThinkingViT's own choices.

    ``drop_path`` is drawn anew in each round. Units: ``cooldown`` is the last share of the stage, trained at the lowest
    rate.
    """

    cooldown: float = 0.0


RECIPES: dict[str, Recipe] = {
    "imagenet": ThinkingViTRecipe(
        epochs=310,
        batch_size=1024,
        lr=1e-3,
        weight_decay=0.05,
        warmup_epochs=5,
        min_lr=1e-5,
        ema_decay=0.99996,
        drop_path=0.1,
        cooldown=10 / 310,
        augment=DEIT_AUGMENT,
        source="args.yaml of ds-kiel/ThinkingViT, which starts from a DeiT-Tiny in the first heads; its recipe of 800 "
        "epochs is not released",
        scope=IMAGENET_VIT,
    ),
    "digits": ThinkingViTRecipe(
        epochs=40,
        batch_size=64,
        lr=4e-3,
        warmup_epochs=2,
        augment=Augment(flip=0.0, padding=1, smoothing=0.1),
        scope=Scope(datasets=("digits",)),
        source="ours: on 8×8 digits on two cores; 16 channels take twice DVT's epochs, at twice its rate",
    ),
    "cifar10": ThinkingViTRecipe(
        epochs=3,
        batch_size=64,
        lr=5e-4,
        warmup_epochs=0.2,
        augment=Augment(flip=0.5, padding=4, smoothing=0.1),
        scope=Scope(datasets=CIFAR, below_size=LARGE_IMAGES),
        source="ours: every round from an ImageNet backbone at a small resolution on two cores; not measured",
    ),
}


def stages(model: DynamicModel, recipe: Recipe) -> list[Stage]:
    """One stage: all rounds of every image together; gradients of a later round reach the earlier ones."""
    assert isinstance(model, ThinkingViTModel)
    every = model.point_of((1.0,) * (len(model.rounds) - 1))
    return [
        Stage(
            name="rounds",
            epochs=recipe.epochs,
            begin=lambda model: set_drop_path(model.backbone, recipe.drop_path),
            groups=lambda model: groups(model, recipe),
            loss=lambda model, batch: mean_cross_entropy(model, batch, every),
        )
    ]


def mean_cross_entropy(model: nn.Module, batch: Batch, point: OperatingPoint) -> Losses:
    """The mean of the rounds' cross-entropies with the same soft targets."""
    prediction: ExitPrediction = model(batch.images, point)
    logits = prediction.exit_logits.to(torch.promote_types(prediction.exit_logits.dtype, torch.float32))
    losses = [F.cross_entropy(each, batch.targets.to(each)) for each in logits]
    return Losses(torch.stack(losses).mean(), {f"round_{k + 1}": loss for k, loss in enumerate(losses)})


def groups(model: DynamicModel, recipe: Recipe) -> Sequence[ParamGroup]:
    """All parameters, matrices with weight decay; alphas are vectors, and have none."""
    return decayed_groups(model.named_parameters(), recipe, schedule=_schedule(recipe))


def _schedule(recipe: Recipe) -> Schedule:
    falling = cosine(recipe.warmup_epochs, recipe.min_lr / recipe.lr)
    falls_for = 1 - recipe.cooldown if isinstance(recipe, ThinkingViTRecipe) else 1.0
    return lambda epoch, epochs: falling(min(epoch, falls_for * epochs), falls_for * epochs)
