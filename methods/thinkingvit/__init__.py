"""ThinkingViT (CVPR 2026, arXiv 2507.10800): a ViT that thinks over again, wider, what it is unsure of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from optuna.distributions import BaseDistribution, FloatDistribution
from torch import Tensor, nn

from dynvit.exits.model import THRESHOLD
from dynvit.interface import Citation, DynamicModel, Explanation, Method, OperatingPoint, Recipe, Stage, register_method

from .entropy import ALWAYS
from .explain import explain
from .model import ThinkingViTModel
from .options import ThinkingViTOptions
from .published import load_published
from .recipes import RECIPES, stages


@register_method("thinkingvit")
class ThinkingViT(Method[ThinkingViTOptions]):
    """Two or three rounds of nested widths, the next only for images that are unsure."""

    summary = "a first round on some of the heads, wider rounds for images that are unsure"
    venue, year, varies = "CVPR", 2026, ("exits", "width")
    paper = Citation(
        "ThinkingViT: Matryoshka Thinking Vision Transformer for Elastic Inference",
        ("Hojjat, Ali", "Haberer, Janek", "Pirk, Sören", "Landsiedel, Olaf"),
        arxiv="2507.10800",
    )
    Options = ThinkingViTOptions
    needs_training = True
    explains = True
    by_default: ClassVar[bool] = False
    recipes: ClassVar[Mapping[str, Recipe]] = RECIPES

    def knobs(self, options: ThinkingViTOptions) -> Mapping[str, BaseDistribution]:
        """The entropy below which an image leaves after each round but the last; 0 keeps every image. Units: nats."""
        return {THRESHOLD.format(k + 1): FloatDistribution(0.0, ALWAYS) for k in range(options.gates)}

    def attach(self, backbone: nn.Module, options: ThinkingViTOptions) -> DynamicModel:
        """Rounds within a plain ViT, which becomes the last of them.

        Raises: ``InputError`` for a backbone whose parts have no narrow form, or with other heads than the rounds say.
        """
        return ThinkingViTModel(backbone, options)

    def stages(self, model: DynamicModel, recipe: Recipe) -> Sequence[Stage]:
        """One stage of the mean cross-entropy over rounds."""
        return stages(model, recipe)

    def explain(self, model: DynamicModel, images: Tensor, point: OperatingPoint) -> Sequence[Explanation]:
        """The round in which each image was answered, and the entropy of each round before it."""
        return explain(model, images, point)

    def load_published(self, path: str) -> tuple[DynamicModel, OperatingPoint]:
        """A released checkpoint, with every round run: its authors name no threshold."""
        model = load_published(path)
        return model, model.point_of((1.0,) * (len(model.rounds) - 1))
