"""DynamicViT as a method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

from optuna.distributions import BaseDistribution, FloatDistribution
from torch import Tensor, nn

from dynvit.errors import InputError
from dynvit.interface import (
    Citation,
    DynamicModel,
    Explanation,
    Method,
    OperatingPoint,
    PublishedCheckpoint,
    Recipe,
    Stage,
)

from .budget import ratio_for
from .checkpoints import PUBLISHED, load
from .explain import explain
from .model import DynamicViTModel
from .options import LOWEST_RATIO, DynamicViTOptions
from .recipes import RECIPES, DynamicViTRecipe
from .stages import sparsify


class DynamicViT(Method[DynamicViTOptions]):
    """DynamicViT on any plain timm ViT with a class token."""

    summary = "learned token pruning at three depths (Rao et al., 2021)"
    venue, year, varies = "NeurIPS", 2021, ("tokens",)
    paper = Citation(
        "DynamicViT: Efficient Vision Transformers with Dynamic Token Sparsification",
        ("Rao, Yongming", "Zhao, Wenliang", "Liu, Benlin", "Lu, Jiwen", "Zhou, Jie", "Hsieh, Cho-Jui"),
        arxiv="2106.02034",
    )
    Options = DynamicViTOptions
    needs_training = True
    explains = True
    adaptive_cost = False
    budget_knob = "keep_ratio"
    recipes: ClassVar[Mapping[str, Recipe]] = RECIPES
    published: ClassVar[Sequence[PublishedCheckpoint]] = PUBLISHED
    _keep: ClassVar[BaseDistribution] = FloatDistribution(LOWEST_RATIO, 1.0)

    def knobs(self, options: DynamicViTOptions) -> Mapping[str, BaseDistribution]:
        """``keep_ratio``: ρ at inference, which need not be the one that was trained for."""
        return {"keep_ratio": self._keep}

    def attach(self, backbone: nn.Module, options: DynamicViTOptions) -> DynamicModel:
        """A plain ViT with a class token and enough blocks for the stages.

        Raises: ``InputError`` for another backbone, or one that is too shallow.
        """
        return DynamicViTModel(backbone, options)

    def stages(self, model: DynamicModel, recipe: Recipe) -> Sequence[Stage]:
        """One stage, with a frozen copy of the backbone, as it is now, as the teacher.

        Raises: ``InputError`` for a recipe of another method.
        """
        if not isinstance(model, DynamicViTModel) or not isinstance(recipe, DynamicViTRecipe):
            raise InputError(f"method dynamicvit trains with its own recipes: {', '.join(self.recipes)}")
        return [sparsify(model, recipe)]

    def explain(self, model: DynamicModel, images: Tensor, point: OperatingPoint) -> Sequence[Explanation]:
        """The patches that each block processed."""
        return explain(model, images, point)

    def load_published(self, path: str) -> tuple[DynamicModel, OperatingPoint]:
        """One of the authors' DeiT checkpoints, and the keep ratio that it was trained for.

        Raises: ``InputError`` for a file of another layout, or one that contains code.
        """
        model = load(path)
        return model, model.trained_point

    def options_for(self, target: float, backbone: nn.Module, options: DynamicViTOptions) -> DynamicViTOptions:
        """The highest keep ratio, in thousandths, whose whole cost is within the target.

        Units: ``target`` as a fraction of the backbone's MACs. Raises: ``InputError`` for one that is not feasible.
        """
        return replace(options, keep_ratio=ratio_for(target, DynamicViTModel(backbone, options)))
