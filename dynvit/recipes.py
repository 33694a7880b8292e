"""What recipes of several methods share: DeiT's augmentation, and which parameters have weight decay."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from torch import nn

from dynvit.interface import Augment, ParamGroup, Recipe
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
