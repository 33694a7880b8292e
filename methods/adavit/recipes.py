"""AdaViT's named training recipes: its authors', and small ones of our own."""

from __future__ import annotations

from dataclasses import dataclass, replace

from dynvit.interface import Augment, Recipe, Scope
from dynvit.recipes import CIFAR, DEIT_AUGMENT, IMAGENET_VIT


@dataclass(frozen=True)
class AdaViTRecipe(Recipe):
    """A recipe of one stage; ``lr`` is the backbone's.

    Units: ``policy_lr`` as a multiple of ``lr``; ``init_logit`` replaces the option of that name when training begins,
    None to leave it.
    """

    policy_lr: float = 1.0
    init_logit: float | None = None

    def with_backbone_lr(self, rate: float) -> AdaViTRecipe:
        """The policy's own rate stays."""
        return replace(self, lr=rate, policy_lr=self.policy_lr * self.lr / rate)


# A new policy drops half of everything, and a short training does not win back what that costs: ours begin near the
# backbone, and are pushed to the target by the usage losses.
RECIPES = {
    "imagenet": AdaViTRecipe(
        epochs=150,
        batch_size=512,
        lr=5e-4,
        warmup_epochs=10,
        min_lr=1e-5,
        ema_decay=0.99996,
        augment=DEIT_AUGMENT,
        drop_path=0.1,
        scope=IMAGENET_VIT,
        source="defaults of the command line of MengLcool/AdaViT at 9857f92, on eight devices; 150 epochs by the paper",
    ),
    "digits": AdaViTRecipe(
        epochs=20,
        batch_size=64,
        lr=4e-3,
        warmup_epochs=1,
        augment=Augment(flip=0.0, padding=1),
        scope=Scope(datasets=("digits",)),
        policy_lr=0.5,
        init_logit=3.0,
        source="ours: seconds on two cores, from a backbone of 8×8 digits; chosen on validation images of data seed 0",
    ),
    "cifar10": AdaViTRecipe(
        epochs=3,
        batch_size=64,
        lr=1e-4,
        warmup_epochs=0.2,
        augment=Augment(flip=0.5, padding=4),
        scope=Scope(datasets=CIFAR),
        policy_lr=10.0,
        init_logit=3.0,
        source="ours, after that for digits, not measured: a few epochs from a DeiT fine-tuned at a small size",
    ),
}
