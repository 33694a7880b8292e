"""MIA-Former as a method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

from optuna.distributions import BaseDistribution, FloatDistribution
from torch import Tensor, nn

from dynvit.errors import InputError
from dynvit.interface import Citation, DynamicModel, Explanation, Method, OperatingPoint, Recipe, Stage

from .adapters import adapter_for
from .explain import explain
from .model import MIAModel
from .options import THRESHOLDS, MIAOptions
from .recipes import RECIPES, MIARecipe
from .stages import stages


class MIAFormer(Method[MIAOptions]):
    """MIA-Former on any backbone that has a adapter: plain ViTs with a class token, and LeViTs."""

    summary = "blocks, heads and tokens chosen by controllers (Yu et al., 2022)"
    venue, year, varies = "AAAI", 2022, ("tokens", "heads", "depth")
    paper = Citation(
        "MIA-Former: Efficient and Robust Vision Transformers via Multi-grained Input-Adaptation",
        ("Yu, Zhongzhi", "Fu, Yonggan", "Li, Sicheng", "Li, Chaojian", "Lin, Yingyan"),
        arxiv="2112.11542",
    )
    Options = MIAOptions
    needs_training = True
    explains = True
    recipes: ClassVar[Mapping[str, Recipe]] = RECIPES

    def knobs(self, options: MIAOptions) -> Mapping[str, BaseDistribution]:
        """P(keep) above which a gate is open, for each dimension that is decided; 0 keeps all, 0.5 is the paper's."""
        return {THRESHOLDS[name]: FloatDistribution(0.0, 1.0) for name in options.dimensions}

    def attach(self, backbone: nn.Module, options: MIAOptions) -> DynamicModel:
        """Controllers before the blocks of a plain ViT or LeViT.

        Raises: ``InputError`` that names any other backbone, and the reason.
        """
        return MIAModel(backbone, adapter_for(backbone, options), options)

    def stages(self, model: DynamicModel, recipe: Recipe) -> Sequence[Stage]:
        """Keep everything, co-train, agents alone, all together.

        Raises: ``InputError`` for a recipe of another method.
        """
        if not isinstance(model, MIAModel) or not isinstance(recipe, MIARecipe):
            raise InputError(f"method mia trains with its own recipes: {', '.join(self.recipes)}")
        self._check_target(model)
        return stages(model, recipe)

    def explain(self, model: DynamicModel, images: Tensor, point: OperatingPoint) -> Sequence[Explanation]:
        """Which blocks ran, on how many heads and on which tokens."""
        return explain(model, images, point)

    def options_for(self, target: float, backbone: nn.Module, options: MIAOptions) -> MIAOptions:
        """The options with ``target`` in them.

        Raises: ``InputError`` for one above the dense cost, or below what runs where everything is dropped.
        """
        if target > 1:
            raise InputError(f"target must be a fraction of the dense cost, 1 at most; got {target:g}")
        wanted = replace(options, target=target)
        self._check_target(MIAModel(backbone, adapter_for(backbone, wanted), wanted))
        return wanted

    def _check_target(self, model: MIAModel) -> None:
        options, dense, (least, controllers) = model.options, model.dense_macs(), model.least_macs()
        if options.target * dense <= least:
            raise InputError(
                f"a target of method mia on this backbone must be above {least / dense:.3f} and at most 1 of the dense "
                f"MACs, got {options.target:g}: with all of {', '.join(options.dimensions)} dropped, that share still "
                f"runs, {controllers / dense:.3f} of it the controllers"
            )
