"""EViT: keep what the class token attends to, fuse the rest into one token (Liang et al., arXiv 2202.07800)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import torch.nn.functional as F
from optuna.distributions import BaseDistribution, FloatDistribution
from timm.models.vision_transformer import Block
from torch import nn

from dynvit.backbones.block import class_attention
from dynvit.backbones.reducing import ReducingMethod, ReducingModel, Step
from dynvit.errors import InputError
from dynvit.interface import Citation, DynamicModel, OperatingPoint, Recipe, Stage, Trait, register_method
from dynvit.ops.merging import Fused, Kept
from dynvit.ops.schedule import blocks_of, kept_from_block, kept_of_current
from dynvit.ops.tokens import top_k, with_prefix

from .training import RECIPES, EViTRecipe, shrinking, train_keep_for

LOWEST_RATIO = 0.2


@dataclass(frozen=True)
class EViTOptions:
    """What EViT leaves to choose (arXiv 2202.07800)."""

    stages: tuple[int, ...] = ()
    """Blocks that drop tokens, counted from 0. Empty: three, evenly spread (3, 6 and 9 of 12)."""
    counts: Literal["current", "original"] = "current"
    """Of what k is a share: ⌈k·n⌉ of the n tokens that are there, or, for stage s, ⌊N·k^s⌋ of the first N, as in
    TokenReduction (arXiv 2308.04657). Either way a fused token comes on top."""
    fuse: bool = True
    """Whether what is dropped becomes one token, Σ aᵢ xᵢ over the dropped, a the class attention's mean over heads."""
    train_keep: float = 0.7
    """The k that training aims at, 0.2 to 1."""

    def __post_init__(self) -> None:
        if not LOWEST_RATIO <= self.train_keep <= 1:
            raise InputError(f"option train_keep must be {LOWEST_RATIO} to 1, got {self.train_keep:g}")


class EViTModel(ReducingModel[int]):
    """A plain ViT that keeps ⌈k·n⌉ of n tokens, by the class attention's mean over heads, at some blocks."""

    neutral = OperatingPoint(keep_ratio=1.0)

    def __init__(self, backbone: nn.Module, options: EViTOptions) -> None:
        super().__init__(backbone, "method evit", EViT.serves)
        self.options, self.stages = options, blocks_of(options.stages, self.vit.shape.depth)
        self.trained_point = OperatingPoint(keep_ratio=options.train_keep)

    def plan(self, point: OperatingPoint) -> Sequence[int | None]:
        """The tokens that each block keeps; a fused one counts among those of the next stage."""
        ratio, tokens, plan = point.number("keep_ratio"), self.vit.shape.patches, list[int | None]()
        given = kept_from_block(tokens, ratio, self.stages) if self.options.counts == "original" else {}
        for index in range(self.vit.shape.depth):
            kept = given.get(index, kept_of_current(tokens, ratio)) if index in self.stages else tokens
            plan.append(kept if kept < tokens else None)
            tokens = kept + self.options.fuse if kept < tokens else tokens
        return plan

    def attend(self, block: Block, step: Step, wanted: int | None, given: Any) -> Step:
        """Attention, then the ``wanted`` tokens of the highest class attention stay, in their order."""
        assert wanted is not None
        prefix = self.vit.shape.prefix
        tokens, scores = class_attention(block, step.tokens, prefix=prefix)
        kept = with_prefix(top_k(scores, wanted), prefix) if given is None else given.kept
        reduction = Fused(kept, F.pad(scores, (prefix, 0))) if self.options.fuse else Kept(kept)
        return Step(reduction.total(tokens), None, reduction)


@register_method("evit")
class EViT(ReducingMethod[EViTOptions]):
    """Class-attention pruning with a fused token on any plain ViT."""

    summary = "keep what the class token attends to, fuse the rest into one token; runs untrained"
    venue, year = "ICLR", 2022
    paper = Citation(
        "Not All Patches are What You Need: Expediting Vision Transformers via Token Reorganizations",
        ("Liang, Youwei", "Ge, Chongjian", "Tong, Zhan", "Song, Yibing", "Wang, Jue", "Xie, Pengtao"),
        arxiv="2202.07800",
    )
    Options = EViTOptions
    budget_knob = "keep_ratio"
    recipes: ClassVar[Mapping[str, Recipe]] = RECIPES
    serves: ClassVar[frozenset[Trait]] = frozenset({"registers", "distillation token", "gated MLPs"})

    def knobs(self, options: EViTOptions) -> Mapping[str, BaseDistribution]:
        """``keep_ratio``: k, the share of its tokens that each stage keeps."""
        return {"keep_ratio": FloatDistribution(LOWEST_RATIO, 1.0)}

    def attach(self, backbone: nn.Module, options: EViTOptions) -> EViTModel:
        """A plain ViT with a class token."""
        return EViTModel(backbone, options)

    def stages(self, model: DynamicModel, recipe: Recipe) -> Sequence[Stage]:
        """One stage, in which the keep ratio falls to ``train_keep``. Raises: ``InputError`` for another's recipe."""
        if not isinstance(model, EViTModel) or not isinstance(recipe, EViTRecipe):
            raise InputError(f"method evit trains with its own recipes: {', '.join(self.recipes)}")
        return [shrinking(model.options.train_keep, recipe)]

    def options_for(self, target: float, backbone: nn.Module, options: EViTOptions) -> EViTOptions:
        """The highest ``train_keep``, in thousandths, that costs at most the target.

        Units: ``target`` as a fraction of the backbone's MACs. Raises: ``InputError`` for one that is not feasible.
        """
        model = EViTModel(backbone, options)
        return replace(options, train_keep=train_keep_for(target, model, options.fuse, LOWEST_RATIO))
