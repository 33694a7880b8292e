"""DynamicViT's named training recipes: the authors' two, and small ones of our own."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from dynvit.interface import Augment, Recipe, Schedule, Scope
from dynvit.recipes import CIFAR, DEIT_AUGMENT, IMAGENET_VIT, LARGE_IMAGES
from dynvit.schedules import cosine, scaled_lr


@dataclass(frozen=True)
class DynamicViTRecipe(Recipe):
    """A recipe for new predictors on a trained backbone: ``lr`` is the predictors'.

    Units: ``backbone_lr`` as a fraction of ``lr``; ``freeze_epochs`` of the stage, during which the backbone is
    frozen; ``ratio_weight`` replaces the option of that name, None to leave it.
    """

    backbone_lr: float = 0.01
    freeze_epochs: float = 0.0
    backbone_law: str = "cosine"
    """``cosine``: the backbone has the predictors' schedule. ``capped``: min(backbone_lr·lr, the predictors' lr)."""
    per_epoch: bool = False
    """Whether rates change once an epoch, not at every step."""
    train_embeddings: bool = True
    """Whether the class token and the position table are trained."""
    ratio_weight: float | None = None

    def with_backbone_lr(self, rate: float) -> DynamicViTRecipe:
        """``lr`` is the predictors'."""
        return replace(self, backbone_lr=rate / self.lr)

    def predictor_schedule(self) -> Schedule:
        """The factor on ``lr`` for the predictors."""
        law = cosine(self.warmup_epochs, self.min_lr / self.lr)
        return (lambda epoch, epochs: law(math.floor(epoch), epochs)) if self.per_epoch else law

    def backbone_schedule(self) -> Schedule:
        """The factor on ``backbone_lr · lr`` for the backbone: 0 while it is frozen."""
        law = self.predictor_schedule()

        def schedule(epoch: float, epochs: float) -> float:
            if epoch < self.freeze_epochs:
                return 0.0
            return (
                min(1.0, law(epoch, epochs) / self.backbone_lr) if self.backbone_law == "capped" else law(epoch, epochs)
            )

        return schedule


NEURIPS_2021 = DynamicViTRecipe(
    epochs=30,
    batch_size=1024,
    lr=scaled_lr(5e-4, 1024, per=512),
    min_lr=1e-5,
    ema_decay=0.99996,
    augment=replace(DEIT_AUGMENT, repeats=3),
    freeze_epochs=5,
    backbone_law="capped",
    per_epoch=True,
    train_embeddings=False,
    scope=IMAGENET_VIT,
    source="arXiv 2106.02034, §4.1, and the code released with it",
)

README_2023 = DynamicViTRecipe(
    epochs=30,
    batch_size=1024,
    lr=1e-3,
    warmup_epochs=5,
    ema_decay=0.9999,
    augment=DEIT_AUGMENT,
    freeze_epochs=5,
    scope=replace(IMAGENET_VIT, by_name=True),
    source="README of raoyongming/DynamicViT at 1322e62 (July 2023)",
)

README_2023_BASE = replace(
    README_2023,
    drop_path=0.2,
    ratio_weight=5.0,
    scope=Scope(backbones=("deit_base*",), from_size=LARGE_IMAGES, by_name=True),
    source=README_2023.source + ", the command for DeiT-B",
)

# With few patches an image's kept fraction varies, and so does its squared error; at the usual weight the other
# terms then keep half as many patches more. Our backbones are small enough to train at the predictors' rate.
DIGITS = DynamicViTRecipe(
    epochs=12,
    batch_size=64,
    lr=4e-3,
    warmup_epochs=1,
    augment=Augment(flip=0.0, padding=1),
    scope=Scope(datasets=("digits",)),
    backbone_lr=1.0,
    ratio_weight=10.0,
    source="ours: seconds on two cores, from a backbone trained on 8×8 digits",
)

CIFAR_10 = DynamicViTRecipe(
    epochs=3,
    batch_size=64,
    lr=1e-3,
    warmup_epochs=0.2,
    augment=Augment(flip=0.5, padding=4),
    scope=Scope(datasets=CIFAR),
    backbone_lr=0.1,
    ratio_weight=10.0,
    source="ours: a few epochs on two cores, from a DeiT fine-tuned on CIFAR-10 at a small resolution",
)

IMAGENETTE = replace(
    CIFAR_10,
    scope=Scope(datasets=("imagenette",)),
    source="ours: as on CIFAR-10, from a DeiT fine-tuned on Imagenette at 160 pixels",
)

RECIPES = {
    "neurips2021": NEURIPS_2021,
    "readme2023": README_2023,
    "readme2023-base": README_2023_BASE,
    "digits": DIGITS,
    "cifar10": CIFAR_10,
    "imagenette": IMAGENETTE,
}
