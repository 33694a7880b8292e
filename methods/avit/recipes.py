"""A-ViT's named training recipes: the authors' two, and small ones of our own."""

from __future__ import annotations

from dataclasses import dataclass, replace

from dynvit.interface import Augment, Recipe, Scope
from dynvit.recipes import CIFAR, DEIT_AUGMENT, IMAGENET_VIT


@dataclass(frozen=True)
class AViTRecipe(Recipe):
    """A recipe of one stage; ``ponder_weight`` and ``prior_weight`` replace the options of these names, None to leave
    them."""

    ponder_weight: float | None = None
    prior_weight: float | None = None


README = AViTRecipe(
    epochs=100,
    batch_size=384,
    lr=3e-4 * 384 / 512,
    warmup_epochs=5,
    min_lr=1e-5,
    ema_decay=0.99996,
    augment=replace(DEIT_AUGMENT, repeats=3),
    scope=IMAGENET_VIT,
    source="README of NVlabs/A-ViT at 120c9cb, the command for DeiT-S on four devices, and its code's defaults. "
    "Its stochastic depth of 0.1 is left out: tokens of all images are rows of one matrix",
)

RECIPES = {
    "imagenet": README,
    "imagenet-tiny": replace(
        README,
        batch_size=512,
        lr=5e-4,
        scope=Scope(backbones=("deit_tiny*", "vit_tiny*"), from_size=160, by_name=True),
        source=README.source.replace("DeiT-S", "DeiT-T"),
    ),
    "digits": AViTRecipe(
        epochs=12,
        batch_size=64,
        lr=2e-3,
        warmup_epochs=1,
        augment=Augment(flip=0.0, padding=1),
        scope=Scope(datasets=("digits",)),
        ponder_weight=0.1,
        prior_weight=0.1,
        source="ours: seconds on two cores, from a backbone trained on 8×8 digits",
    ),
    "cifar10": AViTRecipe(
        epochs=3,
        batch_size=64,
        lr=1e-4,
        warmup_epochs=0.2,
        augment=Augment(flip=0.5, padding=4),
        scope=Scope(datasets=CIFAR),
        source="ours: a few epochs on two cores, from a DeiT fine-tuned on CIFAR-10 at a small resolution",
    ),
}
