"""DVT, the Dynamic Vision Transformer (Wang et al., NeurIPS 2021, arXiv 2105.15075).

Most images are easy: a few large patches are enough. A cascade of transformers over ever finer grids of tokens
exits as soon as it is confident, and each reuses features and relations of the one before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from optuna.distributions import BaseDistribution, FloatDistribution
from torch import Tensor, nn

from dynvit.interface import (
    Augment,
    Citation,
    DynamicModel,
    Explanation,
    Method,
    OperatingPoint,
    PublishedCheckpoint,
    Recipe,
    Stage,
    register_method,
)

from .cascade import THRESHOLD, Cascade
from .explain import explain
from .options import DEFAULT_EXITS, DVTOptions
from .published import CALIBRATION_AUGMENT, PUBLISHED, load_published
from .recipes import RECIPES, stages


@register_method("dvt")
class DVT(Method[DVTOptions]):
    """A cascade of 2 to 4 copies of the backbone over rising grids of tokens."""

    summary = "cascade over token grids with early exit; feature and relation reuse (arXiv 2105.15075)"
    venue, year, varies = "NeurIPS", 2021, ("exits", "tokens")
    paper = Citation(
        "Not All Images are Worth 16x16 Words: Dynamic Transformers for Efficient Image Recognition",
        ("Wang, Yulin", "Huang, Rui", "Song, Shiji", "Huang, Zeyi", "Huang, Gao"),
        arxiv="2105.15075",
    )
    Options = DVTOptions
    needs_training = True
    explains = True
    recipes: ClassVar[Mapping[str, Recipe]] = RECIPES
    published: ClassVar[Sequence[PublishedCheckpoint]] = PUBLISHED
    published_augment: ClassVar[Augment | None] = CALIBRATION_AUGMENT

    def knobs(self, options: DVTOptions) -> Mapping[str, BaseDistribution]:
        """One threshold for each exit but the last; 1 keeps every image."""
        exits = len(options.grids) or DEFAULT_EXITS
        return {THRESHOLD.format(k + 1): FloatDistribution(0.0, 1.0) for k in range(exits - 1)}

    def attach(self, backbone: nn.Module, options: DVTOptions) -> DynamicModel:
        """A cascade of exits shaped as ``backbone``, whose weights initialise those that option ``start`` names.

        Raises: ``InputError`` for a backbone other than a plain ViT, or a grid that its images cannot be split into.
        """
        return Cascade(backbone, options)

    def stages(self, model: DynamicModel, recipe: Recipe) -> Sequence[Stage]:
        """One stage of summed cross-entropies."""
        return stages(model, recipe)

    def explain(self, model: DynamicModel, images: Tensor, point: OperatingPoint) -> Sequence[Explanation]:
        """The exit at which each image leaves, and the confidence of each exit before it."""
        return explain(model, images, point)

    def load_published(self, path: str) -> tuple[DynamicModel, OperatingPoint]:
        """A checkpoint of the released code, at the middle one of its stored thresholds."""
        found = load_published(path)
        found.model.published_points = tuple(dict.fromkeys(found.stored))
        return found.model, found.points[len(found.points) // 3]
