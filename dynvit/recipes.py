"""What recipes of several methods share: how one is chosen, DeiT's augmentation, which parameters have weight decay."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch.nn.functional as F
from torch import nn

from dynvit.errors import InputError, unknown
from dynvit.interface import Augment, Batch, Losses, OperatingPoint, ParamGroup, Recipe, Scope
from dynvit.recipe import Situation
from dynvit.schedules import Schedule, cosine

DEIT_AUGMENT = Augment(
    rand_augment="rand-m9-mstd0.5-inc1",
    color_jitter=0.4,
    random_erasing=0.25,
    flip=0.5,
    crop_scale=0.08,
    mixup=0.8,
    cutmix=1.0,
    smoothing=0.1,
)
"""arXiv 2012.12877, Table 9, without repeated augmentation."""

LARGE_IMAGES = 160
"""The least edge that recipes for ImageNet are for; smaller inputs have recipes of their own. Units: pixels."""
IMAGENET_VIT = Scope(backbones=("vit",), from_size=LARGE_IMAGES)
"""Plain ViTs on images as large as ImageNet's, of whatever classes."""
CIFAR = ("cifar10", "cifar100")

EMBEDDINGS = ("cls_token", "pos_embed", "attention_biases")

Named = tuple[str, nn.Parameter]


def is_vector(name: str, parameter: nn.Parameter) -> bool:
    """Whether a parameter has no weight decay: norms, biases, the class token and positions.

    >>> is_vector("norm.weight", nn.LayerNorm(3).weight), is_vector("fc.weight", nn.Linear(3, 3).weight)
    (True, False)
    """
    return parameter.ndim <= 1 or name.endswith(EMBEDDINGS)


def decayed_groups(
    parameters: Iterable[Named],
    recipe: Recipe,
    *,
    lr: float | None = None,
    schedule: Schedule | None = None,
    prefix: str = "",
    vector: Callable[[str, nn.Parameter], bool] = is_vector,
) -> list[ParamGroup]:
    """Parameters in two groups, ``matrices`` with the recipe's weight decay and ``vectors`` without.

    ``vector`` decides which. Units: ``lr`` per step, default the recipe's. The default schedule is the recipe's warm-up
    and half a cosine down to its ``min_lr``, which is the floor of every group's learning rate.
    """
    rate = recipe.lr if lr is None else lr
    chosen = cosine(recipe.warmup_epochs, recipe.min_lr / rate) if schedule is None else schedule
    matrices: list[nn.Parameter] = []
    vectors: list[nn.Parameter] = []
    for name, parameter in parameters:
        (vectors if vector(name, parameter) else matrices).append(parameter)
    return [
        ParamGroup(f"{prefix}matrices", matrices, rate, recipe.weight_decay, chosen),
        ParamGroup(f"{prefix}vectors", vectors, rate, 0.0, chosen),
    ]


def cross_entropy_at(point: Callable[[], OperatingPoint]) -> Callable[[nn.Module, Batch], Losses]:
    """Cross-entropy with soft targets, of a model that learns at a point; the point is asked for at each step."""

    def loss(model: nn.Module, batch: Batch) -> Losses:
        return Losses(F.cross_entropy(model(batch.images, point()).logits.float(), batch.targets.float()))

    return loss


@dataclass(frozen=True)
class ChosenRecipe:
    """A recipe by name, and in words why it is this one. ``caution``: what speaks against it, empty where nothing."""

    name: str
    recipe: Recipe
    why: str
    caution: str = ""


def choose_recipe(
    method: str, recipes: Mapping[str, Recipe], what: Situation, asked: str | None = None
) -> ChosenRecipe:
    """The recipe that is asked for, else the one that is for this training; one that names its data set comes first.

    Args:
        method: whose recipes they are, for messages.
        recipes: by name.
        what: the training.
        asked: a name, None for the recipe that fits.

    Raises: ``InputError`` for an unknown name, and where none or several fit, with each and what it is for.
    """
    if not recipes:
        raise InputError(f"method {method} has no recipe, for it has nothing to train")
    if asked is not None:
        if asked not in recipes:
            raise unknown(f"recipe of {method}", asked, recipes)
        scope = recipes[asked].scope
        caution = "" if scope.fits(what) else f"recipe {asked} of {method} is for {scope}, and trains {what} as asked"
        return ChosenRecipe(asked, recipes[asked], "asked for", caution)
    fitting = [name for name, recipe in recipes.items() if recipe.scope.fits(what) and not recipe.scope.by_name]
    named = [name for name in fitting if name == what.dataset or what.dataset in recipes[name].scope.datasets]
    found = named or fitting
    if len(found) == 1:
        (name,) = found
        return ChosenRecipe(name, recipes[name], f"it is for {recipes[name].scope}")
    choices = " or ".join(f"--recipe {name} (for {recipes[name].scope})" for name in found or recipes)
    how_many = "several recipes" if found else "no recipe"
    raise InputError(f"{how_many} of {method} {'are' if found else 'is'} for {what}: give {choices}")
