"""How DiffRate's counts are searched for a target, on frozen weights; and how weights may follow them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dynvit.interface import (
    Augment,
    Batch,
    DynamicModel,
    Losses,
    OperatingPoint,
    ParamGroup,
    Recipe,
    Scope,
    Stage,
)
from dynvit.recipes import CIFAR, DEIT_AUGMENT, IMAGENET_VIT, cross_entropy_at, decayed_groups
from dynvit.schedules import cosine
from dynvit.units import GIGA

from .search import Searchable, dense_macs, searched, within


@dataclass(frozen=True)
class DiffRateRecipe(Recipe):
    """A recipe for counts: ``lr`` and ``min_lr`` are those of the logits, which have no weight decay and no warm-up.

    Weights stay as they are unless ``backbone_lr`` is above 0: then the search has ``search_share`` of each epoch's
    images, and the weights learn on the rest, at the counts that were found. Warm-up and weight decay are theirs.

    Units: ``cost_weight`` λ of a squared difference of fractions of dense MACs, where the option of that name is None.
    """

    backbone_lr: float = 0.0
    search_share: float = 0.25
    cost_weight: float = 100.0

    def with_backbone_lr(self, rate: float) -> DiffRateRecipe:
        """``lr`` is the logits'."""
        return replace(self, backbone_lr=rate)


IMAGENET = DiffRateRecipe(
    epochs=3,
    batch_size=1024,
    lr=0.01,
    min_lr=0.001,
    weight_decay=0.0,
    augment=replace(DEIT_AUGMENT, repeats=3),
    scope=IMAGENET_VIT,
    source="README of OpenGVLab/DiffRate at 3b7caf2, all else its code, which has λ = 5 per GMAC²: 106 on DeiT-S",
)

DIGITS = DiffRateRecipe(
    epochs=6,
    batch_size=64,
    lr=0.2,
    min_lr=0.02,
    weight_decay=0.0,
    augment=Augment(flip=0.0, padding=1),
    scope=Scope(datasets=("digits",)),
    source="ours: seconds on two cores; few steps, so larger ones",
    cost_weight=300.0,
)

CIFAR_10 = replace(
    DIGITS,
    epochs=1,
    augment=Augment(flip=0.5),
    scope=Scope(datasets=CIFAR),
    source="ours: minutes on two cores, from a DeiT fine-tuned at a small resolution; not measured",
)

IMAGENETTE = replace(
    CIFAR_10,
    scope=Scope(datasets=("imagenette",)),
    source="ours: as on CIFAR-10, from a DeiT fine-tuned on Imagenette; not measured",
)

RECIPES: dict[str, Recipe] = {
    "imagenet": IMAGENET,
    "digits": DIGITS,
    "cifar10": CIFAR_10,
    "imagenette": IMAGENETTE,
}


def stages(found_at: OperatingPoint, target: float, weight: float, recipe: DiffRateRecipe) -> list[Stage]:
    """The search, and where the recipe says so the weights at what was found.

    Args:
        found_at: the point of the counts that are searched.
        target: a fraction of the backbone's MACs.
        weight: λ of the squared difference from it, of fractions.
        recipe: with the rates.

    Returns: one stage or two.
    """
    share = recipe.search_share if recipe.backbone_lr > 0 else 1.0
    law = cosine(floor=recipe.min_lr / recipe.lr)
    search = Stage(
        name="search",
        epochs=recipe.epochs,
        share=share,
        groups=lambda model: [ParamGroup("counts", [_searchable(model).search.logits], recipe.lr, schedule=law)],
        loss=lambda model, batch: loss(model, batch, target, weight),
        end=lambda model: settle(_searchable(model), target),
    )
    return [search] if share == 1 else [search, _finetune(found_at, recipe, 1 - share)]


def _finetune(found_at: OperatingPoint, recipe: DiffRateRecipe, share: float) -> Stage:
    rate = recipe.backbone_lr
    law = cosine(recipe.warmup_epochs / share, recipe.min_lr / rate)
    return Stage(
        name="finetune",
        epochs=recipe.epochs,
        share=share,
        groups=lambda model: decayed_groups(
            model.backbone.named_parameters(), recipe, lr=rate, schedule=law, prefix="backbone."
        ),
        loss=cross_entropy_at(lambda: found_at),
    )


def loss(model: nn.Module, batch: Batch, target: float, weight: float) -> Losses:
    """Cross-entropy + λ (MACs − target)², costs as fractions of dense (arXiv 2305.17997, §3.3)."""
    found, dense = searched(_searchable(model), batch.images), dense_macs(_searchable(model).vit)
    spent = found.macs / dense
    task = F.cross_entropy(found.logits.float(), batch.targets.float())
    parts: dict[str, Tensor] = {
        "cls": task,
        "gmacs": found.macs.detach() / GIGA,
        "target_gmacs": torch.full_like(task.detach(), target * dense / GIGA),
    }
    return Losses(task + weight * (spent - target).square().float(), parts)


@torch.no_grad()
def settle(model: Searchable, target: float) -> None:
    """The counts of the logits as they are now, within the target, become the model's."""
    counts = model.search.expected().round().long()
    model.search.counts.copy_(within(model.vit, counts, target * dense_macs(model.vit)))


def _searchable(model: nn.Module | DynamicModel) -> Searchable:
    assert isinstance(model, Searchable)
    return model
