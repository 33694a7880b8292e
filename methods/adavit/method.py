"""AdaViT as a method."""

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
from .model import AdaViTModel
from .options import THRESHOLDS, AdaViTOptions
from .recipes import RECIPES, AdaViTRecipe
from .stages import adapt


class AdaViT(Method[AdaViTOptions]):
    """AdaViT on any plain timm ViT with a class token whose heads divide its width."""

    summary = "attention and MLP layers, heads and tokens by linear gates (Meng et al., 2022)"
    venue, year, varies = "CVPR", 2022, ("tokens", "heads", "sub-layers", "depth")
    paper = Citation(
        "AdaViT: Adaptive Vision Transformers for Efficient Image Recognition",
        (
            "Meng, Lingchen",
            "Li, Hengduo",
            "Chen, Bor-Chun",
            "Lan, Shiyi",
            "Wu, Zuxuan",
            "Jiang, Yu-Gang",
            "Lim, Ser-Nam",
        ),
        arxiv="2111.15668",
    )
    Options = AdaViTOptions
    needs_training = True
    explains = True
    by_default: ClassVar[bool] = False
    recipes: ClassVar[Mapping[str, Recipe]] = RECIPES
    published: ClassVar[Sequence[PublishedCheckpoint]] = PUBLISHED

    def knobs(self, options: AdaViTOptions) -> Mapping[str, BaseDistribution]:
        """P(keep) above which a gate is open, for each dimension that is decided; 0 keeps all."""
        return {THRESHOLDS[name]: FloatDistribution(0.0, 1.0) for name in options.dimensions}

    def attach(self, backbone: nn.Module, options: AdaViTOptions) -> AdaViTModel:
        """Policies before the blocks of a plain ViT.

        Raises: ``InputError`` that names any other backbone, and the reason.
        """
        return AdaViTModel(backbone, options)

    def stages(self, model: DynamicModel, recipe: Recipe) -> Sequence[Stage]:
        """One stage, of policies and backbone.

        Raises: ``InputError`` for a recipe of another method.
        """
        if not isinstance(model, AdaViTModel) or not isinstance(recipe, AdaViTRecipe):
            raise InputError(f"method adavit trains with its own recipes: {', '.join(self.recipes)}")
        return [adapt(model, recipe)]

    def explain(self, model: DynamicModel, images: Tensor, point: OperatingPoint) -> Sequence[Explanation]:
        """Which attention and MLP layers ran, on how many heads and on which tokens."""
        return explain(model, images, point)

    def options_for(self, target: float, backbone: nn.Module, options: AdaViTOptions) -> AdaViTOptions:
        """One share of everything that is decided, in thousandths, whose expected cost is the target.

        Units: ``target`` as a fraction of the backbone's MACs. Raises: ``InputError`` for one that is not feasible.
        """
        ratio = ratio_for(target, AdaViTModel(backbone, options))
        return replace(options, layer_target=ratio, head_target=ratio, token_target=ratio)

    def load_published(self, path: str) -> tuple[DynamicModel, OperatingPoint]:
        """The authors' DeiT checkpoint, and the thresholds that it was trained for.

        Raises: ``InputError`` for a file of another layout, or one that contains code.
        """
        model = load(path)
        return model, model.trained_point
