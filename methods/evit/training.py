"""EViT's training: cross-entropy while the keep ratio falls from 1 to the one that is aimed at (arXiv 2202.07800)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import nn

from dynvit import cost
from dynvit.backbones.reducing import ReducingModel
from dynvit.backbones.targets import ratio_within
from dynvit.backbones.vit import set_drop_path
from dynvit.interface import Augment, Batch, DynamicModel, Losses, OperatingPoint, Recipe, Scope, Stage
from dynvit.recipes import CIFAR, DEIT_AUGMENT, IMAGENET_VIT, cross_entropy_at, decayed_groups
from dynvit.schedules import StageProgress, cosine, scaled_lr


@dataclass(frozen=True)
class EViTRecipe(Recipe):
    """A recipe whose keep ratio falls by half a cosine; what the authors give in epochs is a share of them here.

    Units: ``shrink_start``, until which all is kept, and ``shrink_for``, the length of the fall, as shares of the
    stage. With both 0 the first step is taken at the ratio that is aimed at.
    """

    shrink_start: float = 0.0
    shrink_for: float = 0.0

    def keep_ratio(self, done: float, aim: float) -> float:
        """k when a share ``done`` of the stage is over.

        >>> recipe = EViTRecipe(epochs=1, batch_size=1, lr=1.0, shrink_start=0.2, shrink_for=0.4)
        >>> [round(recipe.keep_ratio(done, aim=0.5), 3) for done in (0.0, 0.2, 0.3, 0.4, 0.6, 1.0)]
        [1.0, 1.0, 0.927, 0.75, 0.5, 0.5]
        """
        if done < self.shrink_start:
            return 1.0
        fallen = min((done - self.shrink_start) / self.shrink_for, 1.0) if self.shrink_for else 1.0
        return cosine(floor=aim)(fallen, 1.0)


FINETUNE = EViTRecipe(
    epochs=30,
    batch_size=2048,
    lr=scaled_lr(2e-5, 2048, per=512),
    weight_decay=1e-6,
    min_lr=2e-6,
    drop_path=0.1,
    augment=replace(DEIT_AUGMENT, repeats=3),
    scope=IMAGENET_VIT,
    source="finetune.sh of youweiliang/evit at 26a6e15: a trained DeiT, at the final k from the first step",
)

FROM_SCRATCH = EViTRecipe(
    epochs=300,
    batch_size=2048,
    lr=scaled_lr(5e-4, 2048, per=512),
    warmup_epochs=5,
    min_lr=1e-5,
    shrink_start=10 / 300,
    shrink_for=100 / 300,
    drop_path=0.1,
    augment=replace(DEIT_AUGMENT, repeats=3),
    scope=replace(IMAGENET_VIT, by_name=True),
    source="run_code.sh of youweiliang/evit at 26a6e15, which has DeiT's recipe; arXiv 2202.07800, §4",
)

DIGITS = EViTRecipe(
    epochs=12,
    batch_size=64,
    lr=2e-3,
    warmup_epochs=1,
    shrink_for=0.5,
    augment=Augment(flip=0.0, padding=1, smoothing=0.1),
    scope=Scope(datasets=("digits",)),
    source="ours: seconds on two cores, from a backbone trained on 8×8 digits",
)

CIFAR_10 = EViTRecipe(
    epochs=3,
    batch_size=64,
    lr=1e-4,
    warmup_epochs=0.2,
    shrink_for=0.5,
    augment=Augment(flip=0.5, padding=4, smoothing=0.1),
    scope=Scope(datasets=CIFAR),
    source="ours: a few epochs on two cores, from a DeiT fine-tuned at a small resolution; not measured",
)

IMAGENETTE = replace(
    CIFAR_10,
    lr=5e-5,
    augment=Augment(flip=0.5, crop_scale=0.6, smoothing=0.1),
    scope=Scope(datasets=("imagenette",)),
    source="ours: as on CIFAR-10, from a DeiT fine-tuned on Imagenette; not measured",
)

RECIPES: dict[str, Recipe] = {
    "imagenet-finetune": FINETUNE,
    "imagenet": FROM_SCRATCH,
    "digits": DIGITS,
    "cifar10": CIFAR_10,
    "imagenette": IMAGENETTE,
}


def shrinking(aim: float, recipe: EViTRecipe) -> Stage:
    """The one stage: all parameters, by cross-entropy at the keep ratio of the moment, in the executed form."""
    progress = StageProgress()
    law = progress.track(cosine(recipe.warmup_epochs, recipe.min_lr / recipe.lr))
    return Stage(
        name="shrink",
        epochs=recipe.epochs,
        begin=lambda model: set_drop_path(model.backbone, recipe.drop_path),
        groups=lambda model: decayed_groups(_named(model), recipe, schedule=law, prefix="backbone."),
        loss=_at(lambda: recipe.keep_ratio(progress.done, aim)),
    )


def train_keep_for(target: float, model: ReducingModel[int], fused: bool, lowest: float) -> float:
    """The highest k, in thousandths, that costs at most the target; ``fused`` tokens come on top of what is kept.

    Units: ``target`` as a fraction of the backbone's MACs. Raises: ``InputError`` that names the feasible range.
    """

    def macs_at(ratio: float) -> int:
        left = [model.vit.shape.tokens]
        for kept in model.plan(OperatingPoint(keep_ratio=ratio)):
            left.append(left[-1] if kept is None else model.vit.shape.prefix + kept + fused)
        return int(cost.macs(model.vit.usage(torch.empty(1, 0), left[:-1], left[1:])))

    return ratio_within(target, macs_at, lowest, "method evit")


def _at(keep_ratio: Callable[[], float]) -> Callable[[nn.Module, Batch], Losses]:
    learned = cross_entropy_at(lambda: OperatingPoint(keep_ratio=keep_ratio()))

    def loss(model: nn.Module, batch: Batch) -> Losses:
        found = learned(model, batch)
        return replace(found, parts={"keep_ratio": torch.full_like(found.total.detach(), keep_ratio())})

    return loss


def _named(model: DynamicModel) -> list[tuple[str, nn.Parameter]]:
    return list(model.backbone.named_parameters())
