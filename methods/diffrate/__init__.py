"""DiffRate: how many tokens each block prunes and merges was searched (Chen et al., arXiv 2305.17997)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import torch
from optuna.distributions import BaseDistribution, IntDistribution
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from dynvit import cost
from dynvit.backbones.block import class_attention
from dynvit.backbones.reducing import ReducingMethod, ReducingModel, Step
from dynvit.backbones.targets import check_target
from dynvit.backbones.vit import PlainViT
from dynvit.errors import InputError
from dynvit.interface import Citation, DynamicModel, OperatingPoint, Recipe, Stage, Trait, register_method
from dynvit.ops.merging import Groups, cosines
from dynvit.ops.tokens import gather_tokens, with_prefix

from .schedules import BETWEEN, PUBLISHED_TOKENS, Counts, counts_at, nearest, own, published
from .search import CountSearch, lowest_share
from .training import RECIPES, DiffRateRecipe, stages


@dataclass(frozen=True)
class DiffRateOptions:
    """Which counts DiffRate uses (arXiv 2305.17997)."""

    schedule: Literal["nearest", "deit_tiny", "deit_small", "deit_base"] = "nearest"
    """Whose published counts: of DeiT-T, -S or -B, by default the nearest in width. On a backbone of another
    depth or token count they are interpolated."""
    prune: tuple[int, ...] = ()
    """Own counts instead, block by block: tokens left after pruning, the class token among them."""
    merge: tuple[int, ...] = ()
    """Tokens left after merging, block by block; with ``prune``."""
    target: float | None = None
    """Counts that a training searches for this share of the backbone's MACs, instead; before it nothing is dropped."""
    cost_weight: float | None = None
    """λ of (MACs − target)², in shares of dense MACs, in the search. None: the recipe's."""
    every: int = 1
    """Candidates of the search: from all patches down, each this many below the one before. The public script has 4."""

    def __post_init__(self) -> None:
        if self.target is not None and (self.prune or self.merge):
            raise InputError(
                "options prune and merge are your own counts, target has them searched: give one of the two"
            )
        for name, least in (("cost_weight", 0.0), ("every", 1)):
            given = getattr(self, name)
            if given is not None and not given >= least:
                raise InputError(f"option {name} must be at least {least:g}, got {given:g}")


class DiffRateModel(ReducingModel[tuple[int, int]]):
    """A plain ViT whose blocks drop the tokens of the least class attention and merge the next ones."""

    def __init__(self, backbone: nn.Module, options: DiffRateOptions) -> None:
        super().__init__(backbone, "method diffrate", DiffRate.serves)
        self.fixed, self.whole = schedules_of(self.vit, options)
        self.neutral = OperatingPoint(level=BETWEEN * len(self.fixed))
        self.options = options
        if options.target is not None:
            self.search = CountSearch(self.vit, options.every)
            self.trained_point = OperatingPoint(level=BETWEEN)
            check_target(options.target, lowest_share(self.vit, self.search), "method diffrate")

    @property
    def schedules(self) -> Sequence[Counts]:
        """The schedules that levels go through, the cheapest first; a searched one has nothing below it."""
        return self.fixed if self.options.target is None else [self.fixed[0], self.search.found()]

    def merge(self, ranked: Tensor, sizes: Tensor, merged: int) -> tuple[Tensor, Tensor]:
        """What ``attend`` does with tokens that are ranked; for the search.

        Shape: ranked (B, n, width), sizes (B, n) → (B, merged, width), (B, merged).
        """
        places = torch.arange(ranked.shape[1], device=ranked.device).expand(len(ranked), -1)
        groups = ranked_groups(places, ranked, merged, self.vit.shape.prefix)
        return groups.mean(ranked, None)[0], groups.total(sizes, groups.similarity)

    def plan(self, point: OperatingPoint) -> Sequence[tuple[int, int] | None]:
        """Tokens that each block keeps after pruning and after merging, the class token among them."""
        level, left, highest = int(point.number("level")), self.vit.shape.tokens, BETWEEN * len(self.schedules)
        if not 0 <= level <= highest:
            raise InputError(f"knob level must be 0 to {highest}, where nothing is dropped: got {level}")
        plan = list[tuple[int, int] | None]()
        for pruned, merged in zip(
            *counts_at(self.schedules, self.whole, level, self.vit.shape.depth, left, self.vit.shape.prefix),
            strict=True,
        ):
            plan.append((pruned, merged) if merged < left else None)
            left = merged
        return plan

    def attend(self, block: Block, step: Step, wanted: tuple[int, int] | None, given: Any) -> Step:
        """Attention; tokens are ranked by class attention, and those after the first ``merged`` join the most similar.

        A merged token is the plain mean of its members. Its size grows by each one's size times the similarity, as in
        the public code, which says that this helps where nothing is trained.
        """
        tokens, scores = class_attention(block, step.tokens, step.sizes, self.vit.shape.prefix)
        if wanted is None:
            return Step(tokens, step.sizes)
        pruned, merged = wanted
        ranks = ranked(scores, pruned, self.vit.shape.prefix) if given is None else given.order
        moved = gather_tokens(tokens, ranks)
        groups = ranked_groups(ranks, moved, merged, self.vit.shape.prefix) if given is None else given
        sizes = torch.ones_like(ranks, dtype=tokens.dtype) if step.sizes is None else step.sizes.gather(1, ranks)
        matching = cost.Matching("matching", pruned - merged, merged, tokens.shape[-1])
        mean, _ = groups.mean_of_moved(moved, None)
        return Step(mean, groups.total_of_moved(sizes, groups.similarity), groups, (matching,))


@dataclass(frozen=True)
class RankedGroups(Groups):
    """Groups by rank. Shape: ``similarity`` (B, r), of each source to its target; 0 where it is negative."""

    similarity: Tensor


def ranked(scores: Tensor, count: int, prefix: int) -> Tensor:
    """The positions of ``count`` tokens: the prefix tokens, then the highest scores. Shape: (B, n) → (B, count)."""
    return with_prefix(scores.argsort(dim=1, descending=True)[:, : count - prefix], prefix)


@torch.no_grad()
def ranked_groups(ranks: Tensor, moved: Tensor, merged: int, prefix: int) -> RankedGroups:
    """The first ``merged`` of the ranked tokens are kept, the others join one of them, prefix tokens excepted.

    Shape: ranks (B, n'), moved, the tokens at these positions, (B, n', C).
    """
    similar = cosines(moved, slice(merged, None), slice(merged))
    similar[:, :, :prefix] = -torch.inf
    best, target = similar.max(-1)
    return RankedGroups(ranks, target, best.clamp(min=0))


def schedules_of(vit: PlainViT, options: DiffRateOptions) -> tuple[list[Counts], int]:
    """The schedules that a model's levels go through, and the tokens that they were made for.

    Raises: ``InputError`` for own counts of another depth or token count.
    """
    if options.prune or options.merge:
        tokens, prefix = vit.shape.tokens, vit.shape.prefix
        return own(options.prune, options.merge, vit.shape.depth, tokens, prefix), tokens
    if options.target is not None:
        nothing = (0,) * vit.shape.depth
        return [(nothing, nothing)] * 2, vit.shape.tokens
    name = nearest(vit.shape.width) if options.schedule == "nearest" else options.schedule
    return published(name), PUBLISHED_TOKENS


@register_method("diffrate")
class DiffRate(ReducingMethod[DiffRateOptions]):
    """Searched pruning and merging on any plain ViT."""

    summary = "prune, then merge, by searched counts for each block; runs untrained"
    venue, year = "ICCV", 2023
    paper = Citation(
        "DiffRate: Differentiable Compression Rate for Efficient Vision Transformers",
        (
            "Chen, Mengzhao",
            "Shao, Wenqi",
            "Xu, Peng",
            "Lin, Mingbao",
            "Zhang, Kaipeng",
            "Chao, Fei",
            "Ji, Rongrong",
            "Qiao, Yu",
            "Luo, Ping",
        ),
        arxiv="2305.17997",
    )
    Options = DiffRateOptions
    budget_knob = "level"
    recipes: ClassVar[Mapping[str, Recipe]] = RECIPES
    serves: ClassVar[frozenset[Trait]] = frozenset({"registers", "distillation token", "gated MLPs"})

    def knobs(self, options: DiffRateOptions, backbone: nn.Module) -> Mapping[str, BaseDistribution]:
        """``level``: 0, 10, 20, … are the schedules, the cheapest first; the last is the backbone."""
        schedules, _ = schedules_of(PlainViT(backbone, "method diffrate", serves=self.serves), options)
        return {"level": IntDistribution(0, BETWEEN * len(schedules))}

    def attach(self, backbone: nn.Module, options: DiffRateOptions) -> DiffRateModel:
        """A plain ViT with a class token."""
        return DiffRateModel(backbone, options)

    def stages(self, model: DynamicModel, recipe: Recipe) -> Sequence[Stage]:
        """The search for the target. Raises: ``InputError`` without a target, and for a recipe of another method."""
        if not isinstance(model, DiffRateModel) or not isinstance(recipe, DiffRateRecipe):
            raise InputError(f"method diffrate trains with its own recipes: {', '.join(self.recipes)}")
        if model.options.target is None or model.trained_point is None:
            raise InputError(
                "method diffrate trains by searching counts for a target: give --target (--targets in a bench), a "
                "fraction of dense MACs"
            )
        weight = recipe.cost_weight if model.options.cost_weight is None else model.options.cost_weight
        return stages(model.trained_point, model.options.target, weight, recipe)

    def options_for(self, target: float, backbone: nn.Module, options: DiffRateOptions) -> DiffRateOptions:
        """The options that say which target counts are searched for.

        Units: ``target`` as a fraction of the backbone's MACs. Raises: ``InputError`` for one that is not feasible.
        """
        wanted = replace(options, target=target)
        DiffRateModel(backbone, wanted)
        return wanted
