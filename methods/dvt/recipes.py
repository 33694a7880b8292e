"""How a cascade is trained: the sum of its exits' losses, by the paper's recipes and small ones of ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import nn

from dynvit.backbones.t2t import T2TViT
from dynvit.backbones.vit import set_drop_path
from dynvit.exits.model import ExitPrediction
from dynvit.interface import Augment, Batch, DynamicModel, Losses, OperatingPoint, ParamGroup, Recipe, Scope, Stage
from dynvit.recipes import CIFAR, DEIT_AUGMENT, IMAGENET_VIT, LARGE_IMAGES, decayed_groups, is_vector

from .cascade import Cascade
from .exit import Exit


@dataclass(frozen=True)
class DVTRecipe(Recipe):
    """A recipe with DVT's own choices: ``backbone_lr_scale`` is the backbone's factor on ``lr``, heads excluded.

    ``drop_path`` is that of each exit.
    """

    optimizer: Literal["adamw", "sgd"] = "adamw"
    backbone_lr_scale: float = 1.0

    def with_backbone_lr(self, rate: float) -> DVTRecipe:
        """``lr`` is that of heads and reuse."""
        return replace(self, backbone_lr_scale=rate / self.lr)


_SCRIPT = "the released training script's defaults"

RECIPES: dict[str, Recipe] = {
    "imagenet-t2t-12": DVTRecipe(
        epochs=310,
        batch_size=1024,
        lr=2e-3,
        weight_decay=0.03,
        warmup_epochs=20,
        min_lr=1e-5,
        ema_decay=0.99996,
        drop_path=0.1,
        augment=DEIT_AUGMENT,
        source=f"README of blackfeather-wang/Dynamic-Vision-Transformer for T2T-ViT-12, and {_SCRIPT}",
        scope=Scope(backbones=("t2t_vit_12",), from_size=LARGE_IMAGES),
    ),
    "imagenet-t2t-14": DVTRecipe(
        epochs=310,
        batch_size=512,
        lr=5e-4,
        weight_decay=0.05,
        warmup_epochs=20,
        min_lr=1e-5,
        ema_decay=0.99996,
        drop_path=0.1,
        augment=DEIT_AUGMENT,
        source=f"README of blackfeather-wang/Dynamic-Vision-Transformer for T2T-ViT-14, and {_SCRIPT}",
        scope=Scope(backbones=("t2t_vit_14",), from_size=LARGE_IMAGES),
    ),
    "imagenet-deit": DVTRecipe(
        epochs=300,
        batch_size=1024,
        lr=1e-3,
        weight_decay=0.05,
        warmup_epochs=5,
        min_lr=1e-5,
        ema_decay=0.99996,
        drop_path=0.1,
        augment=DEIT_AUGMENT,
        source="arXiv 2105.15075 §4: DeiT's own hyper-parameters (arXiv 2012.12877, Table 9), no command released",
        scope=IMAGENET_VIT,
    ),
    "cifar-transfer": DVTRecipe(
        epochs=60,
        batch_size=128,
        lr=0.01,
        weight_decay=5e-4,
        min_lr=2e-4,
        augment=Augment(flip=0.5, padding=28),
        optimizer="sgd",
        scope=Scope(datasets=CIFAR, from_size=LARGE_IMAGES),
        backbone_lr_scale=0.01,
        source="T2T-ViT's transfer script at 224 pixels, its ratio of rates (--transfer-learning) included, which the "
        "paper fine-tunes by; its DVT code is not released",
    ),
    "digits": DVTRecipe(
        epochs=20,
        batch_size=64,
        lr=2e-3,
        warmup_epochs=2,
        augment=Augment(flip=0.0, padding=1, smoothing=0.1),
        scope=Scope(datasets=("digits",)),
        source="ours: from scratch on 8×8 digits on two cores",
    ),
    "cifar10": DVTRecipe(
        epochs=3,
        batch_size=64,
        lr=2e-4,
        warmup_epochs=0.2,
        augment=Augment(flip=0.5, padding=4, smoothing=0.1),
        scope=Scope(datasets=CIFAR, below_size=LARGE_IMAGES),
        source="ours: fine-tuning every exit from an ImageNet backbone at a small resolution on two cores",
    ),
    "imagenette": DVTRecipe(
        epochs=3,
        batch_size=64,
        lr=2e-4,
        warmup_epochs=0.2,
        augment=Augment(flip=0.5, crop_scale=0.6, smoothing=0.1),
        scope=Scope(datasets=("imagenette",)),
        source="ours: as on CIFAR-10, at 160 pixels",
    ),
}


def stages(model: DynamicModel, recipe: Recipe) -> list[Stage]:
    """One stage: all exits together, equally weighted (§3.4)."""
    assert isinstance(model, Cascade)
    everything = model.point_of((model.keeps,) * (len(model.exits) - 1))
    return [
        Stage(
            name="cascade",
            epochs=recipe.epochs,
            begin=lambda model: _set_drop_path(model, recipe),
            groups=lambda model: groups(model, recipe),
            loss=lambda model, batch: summed_cross_entropy(model, batch, everything),
            optimizer=recipe.optimizer if isinstance(recipe, DVTRecipe) else "adamw",
        )
    ]


def _set_drop_path(model: DynamicModel, recipe: Recipe) -> None:
    assert isinstance(model, Cascade)
    for exit in model.exits:
        assert isinstance(exit, Exit)
        set_drop_path(exit.vit, recipe.drop_path)


def summed_cross_entropy(model: nn.Module, batch: Batch, point: OperatingPoint) -> Losses:
    """The exits' cross-entropies with the same soft targets, summed (Eq. 9)."""
    prediction: ExitPrediction = model(batch.images, point)
    losses = [F.cross_entropy(logits.float(), batch.targets.float()) for logits in prediction.exit_logits]
    return Losses(torch.stack(losses).sum(), {f"exit_{k + 1}": loss for k, loss in enumerate(losses)})


def groups(model: DynamicModel, recipe: Recipe) -> Sequence[ParamGroup]:
    """New parameters (heads and reuse) and the backbone's, each with and without weight decay.

    T2T's position tables are never trained.
    """
    assert isinstance(model, Cascade)
    scale = recipe.backbone_lr_scale if isinstance(recipe, DVTRecipe) else 1.0
    new: list[tuple[str, nn.Parameter]] = []
    pretrained: list[tuple[str, nn.Parameter]] = []
    for name, parameter in model.named_parameters():
        if not (name.endswith("pos_embed") and isinstance(model.backbone, T2TViT)):
            is_new = any(part in name for part in (".head.", ".features.", ".relations."))
            (new if is_new else pretrained).append((name, parameter))
    return [
        *decayed_groups(new, recipe, prefix="new ", vector=_is_vector),
        *decayed_groups(pretrained, recipe, lr=scale * recipe.lr, prefix="backbone ", vector=_is_vector),
    ]


def _is_vector(name: str, parameter: nn.Parameter) -> bool:
    """Norms and biases are stacked over blocks or groups here, and still have no weight decay."""
    return is_vector(name, parameter) or name.endswith("_bias") or "norm" in name or ".biases." in name
