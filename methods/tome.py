"""ToMe: merge the most similar tokens in every block (Bolya et al., arXiv 2210.09461). No training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from optuna.distributions import BaseDistribution, IntDistribution
from timm.models.vision_transformer import Block
from torch import nn

from dynvit import cost
from dynvit.backbones.block import attention_inputs, attention_output
from dynvit.backbones.reducing import ReducingMethod, ReducingModel, Step
from dynvit.backbones.vit import PlainViT
from dynvit.errors import InputError
from dynvit.interface import EVERY_TRAIT, Citation, OperatingPoint, register_method
from dynvit.ops.attention import size_weighted_attention
from dynvit.ops.merging import bipartite_groups, halves, most_merged, summed_over_heads
from dynvit.ops.schedule import decreasing


@dataclass(frozen=True)
class ToMeOptions:
    """What ToMe leaves to choose (arXiv 2210.09461)."""

    schedule: Literal["constant", "decreasing"] | tuple[int, ...] = "constant"
    """Tokens merged in each block: r in all; 2r in the first, falling to 0 in the last; or counts, block by block
    from the first, of which none exceeds r. In no block is it more than half of the tokens."""
    proportional: bool = True
    """Whether a token of size s counts as s keys: softmax(QKᵀ/√d + ln s) (Eq. 1). Off for MAE's weights."""


class ToMeModel(ReducingModel[int]):
    """A plain ViT that merges tokens between attention and MLP, by the mean of each pair weighted by sizes."""

    neutral = OperatingPoint(r=0)

    def __init__(self, backbone: nn.Module, options: ToMeOptions) -> None:
        super().__init__(backbone, "method tome", ToMe.serves)
        self.options, self.most = options, most_asked(self.vit, options)

    def plan(self, point: OperatingPoint) -> Sequence[int | None]:
        """The tokens that each block merges away."""
        r, depth, tokens = int(point.number("r")), self.vit.shape.depth, self.vit.shape.tokens
        if not 0 <= r <= self.most:
            raise InputError(
                f"knob r must be 0 to {self.most} on a backbone of {depth} blocks and {tokens} tokens: got {r}"
            )
        schedule = self.options.schedule
        if schedule == "constant":
            asked: Sequence[int] = (r,) * depth
        else:
            asked = decreasing(r, depth) if schedule == "decreasing" else [min(r, int(count)) for count in schedule]
        merged = list[int | None]()
        for count in asked:
            merged.append(min(count, most_merged(tokens, self.vit.shape.prefix)) or None)
            tokens -= merged[-1] or 0
        return merged

    def attend(self, block: Block, step: Step, wanted: int | None, given: Any) -> Step:
        """Attention, then the ``wanted`` most similar pairs by the heads' mean key become one token each."""
        queries, keys, values = attention_inputs(block, step.tokens)
        sizes = step.sizes if self.options.proportional else None
        mixed = size_weighted_attention(queries, keys, values, block.attn.scale, sizes)
        tokens = attention_output(block, step.tokens, mixed)
        if wanted is None:
            return Step(tokens, step.sizes)
        prefix = self.vit.shape.prefix
        groups = given or bipartite_groups(summed_over_heads(keys), wanted, prefix)
        matching = cost.Matching("matching", *halves(tokens.shape[1], prefix), keys.shape[-1])
        merged, sizes = groups.mean(tokens, step.sizes)
        return Step(merged, sizes, groups, (matching,))


def most_asked(vit: PlainViT, options: ToMeOptions) -> int:
    """The highest r: what merges all patches away over the depth, or the highest count that is listed.

    Raises: ``InputError`` for a list that is for another depth, or has nothing to merge.
    """
    if isinstance(options.schedule, str):
        return max(1, vit.shape.patches // vit.shape.depth)
    if len(options.schedule) != vit.shape.depth or min(options.schedule) < 0 or not any(options.schedule):
        raise InputError(
            f"option schedule must list {vit.shape.depth} counts for this backbone, one a block and none below 0, "
            f"or be constant or decreasing; got {len(options.schedule)}: {options.schedule}"
        )
    return max(options.schedule)


@register_method("tome")
class ToMe(ReducingMethod[ToMeOptions]):
    """Token merging on any plain ViT."""

    summary = "merge the most similar tokens in every block; no training"
    venue, year = "ICLR", 2023
    paper = Citation(
        "Token Merging: Your ViT But Faster",
        (
            "Bolya, Daniel",
            "Fu, Cheng-Yang",
            "Dai, Xiaoliang",
            "Zhang, Peizhao",
            "Feichtenhofer, Christoph",
            "Hoffman, Judy",
        ),
        arxiv="2210.09461",
    )
    Options = ToMeOptions
    budget_knob = "r"
    serves = EVERY_TRAIT

    def knobs(self, options: ToMeOptions, backbone: nn.Module) -> Mapping[str, BaseDistribution]:
        """``r``: tokens merged in each block."""
        return {"r": IntDistribution(0, most_asked(PlainViT(backbone, "method tome", serves=self.serves), options))}

    def attach(self, backbone: nn.Module, options: ToMeOptions) -> ToMeModel:
        """A plain ViT; LayerScale and normed queries and keys are applied as the block has them."""
        return ToMeModel(backbone, options)
