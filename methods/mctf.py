"""MCTF: fuse tokens by similarity, information and size, in both directions (Lee et al., arXiv 2403.10030)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from dynvit import cost
from dynvit.backbones.block import attention_inputs, attention_output
from dynvit.backbones.reducing import ReducingMethod, ReducingModel, Step
from dynvit.backbones.vit import PlainViT
from dynvit.errors import InputError
from dynvit.interface import EVERY_TRAIT, Citation, OperatingPoint, Part, register_method
from dynvit.ops.attention import size_weighted_attention
from dynvit.ops.merging import Groups, cosines, halves, most_merged
from dynvit.ops.schedule import blocks_of

LEAST = 10
"""Tokens below which the public code never merges; fewer on grids of few patches."""


@dataclass(frozen=True)
class MCTFOptions:
    """What MCTF leaves to choose (arXiv 2403.10030): W = Π criterion^(1/τ), a τ for each."""

    form: Literal["count", "share"] = "count"
    """What the knob r is: tokens fused in each block (MCTF), or a share of them (MCTF-Fast)."""
    stages: tuple[int, ...] = ()
    """Blocks that fuse, counted from 0. Empty: all but the first, for ``share`` three, evenly spread (3, 6 and 9)."""
    tau_sim: float = 1.0
    """τ of the similarity, (cos(xᵢ, xⱼ) + 1) / 2. Above 0."""
    tau_info: float = 20.0
    """τ of the information, nᵢnⱼ, n = 1/(mean attention received), scaled to at most 1: little is preferred."""
    tau_size: float = 40.0
    """τ of the size, zᵢzⱼ, z = 1/size, scaled to at most 1: tokens that stand for few are preferred."""

    def __post_init__(self) -> None:
        for name in ("tau_sim", "tau_info", "tau_size"):
            if not getattr(self, name) > 0:
                raise InputError(f"option {name} must be above 0, got {getattr(self, name)}")


class MCTFModel(ReducingModel[int]):
    """A plain ViT that fuses tokens before it mixes them: attention is read once, and merged with the tokens."""

    neutral = OperatingPoint(r=0)

    def __init__(self, backbone: nn.Module, options: MCTFOptions) -> None:
        super().__init__(backbone, "method mctf", MCTF.serves)
        self.options = options
        self.stages, self.highest = _limits(self.vit, options)

    def plan(self, point: OperatingPoint) -> Sequence[int | None]:
        """The tokens that each block fuses away."""
        r, tokens, plan = point.number("r"), self.vit.shape.tokens, list[int | None]()
        if not 0 <= r <= self.highest:
            raise InputError(f"knob r must be 0 to {self.highest} on this backbone, got {r:g}")
        for index in range(self.vit.shape.depth):
            prefix = self.vit.shape.prefix
            wanted = r if self.options.form == "count" else int((tokens - prefix) * r)
            most = min(tokens - _least(self.vit), most_merged(tokens, prefix))
            plan.append(max(0, min(int(wanted), most)) or None if index in self.stages else None)
            tokens -= plan[-1] or 0
        return plan

    def attend(self, block: Block, step: Step, wanted: int | None, given: Any) -> Step:
        """Attention weights, fusion of the block's input by them, then values of the fused tokens."""
        tokens = step.tokens
        if wanted is None:
            mixed = size_weighted_attention(*attention_inputs(block, tokens), block.attn.scale, step.sizes)
            return Step(attention_output(block, tokens, mixed), step.sizes)
        sizes = torch.ones_like(tokens[:, :, 0]) if step.sizes is None else step.sizes
        before = tokens.shape[1]
        weights = _attention(block, tokens, sizes)
        information = weights.mean((1, 2))
        groups = given or fusion(tokens, information, sizes, wanted, self.options, self.vit.shape.prefix)
        importance = information * sizes / sizes.amax(1, keepdim=True)
        fused, _ = groups.mean(tokens, importance)
        merged = merged_attention(weights, groups, importance)
        tokens = attention_output(block, fused, merged @ _values(block, fused))
        matching = cost.Matching("matching", *halves(before, self.vit.shape.prefix), tokens.shape[-1])
        work = self._work(before, tokens.shape[1])
        return Step(tokens, groups.total(sizes), groups, (matching,), work)

    def _work(self, before: int, after: int) -> tuple[Part, ...]:
        """Queries, keys and weights of all tokens, values of the fused ones."""
        s = self.vit.shape
        inner = s.heads * s.head_dim
        return (
            cost.Normalization("norm1", (before + after) * s.width),
            cost.Linear("attn.qk", before, s.width, 2 * inner),
            cost.Linear("attn.v", after, s.width, inner),
            cost.Attention("attn.weights", before, before, s.heads, s.head_dim, 0),
            cost.Attention("attn.values", after, after, s.heads, 0, s.head_dim),
            cost.Linear("attn.proj", after, inner, s.width),
        )


def _attention(block: Block, tokens: Tensor, sizes: Tensor) -> Tensor:
    """softmax(QKᵀ/√d + ln s). Shape: tokens (B, n, C), sizes (B, n) → (B, heads, n, n)."""
    attention = block.attn
    inner = attention.num_heads * attention.head_dim
    bias = None if attention.qkv.bias is None else attention.qkv.bias[: 2 * inner]
    both = F.linear(block.norm1(tokens), attention.qkv.weight[: 2 * inner], bias)
    queries, keys = both.unflatten(-1, (2, attention.num_heads, attention.head_dim)).permute(2, 0, 3, 1, 4)
    # A product of what lies together: of what lies apart, torch would copy one side turned.
    queries, keys = (attention.q_norm(queries) * attention.scale).contiguous(), attention.k_norm(keys).contiguous()
    return (queries @ keys.transpose(-2, -1) + sizes.log()[:, None, None]).softmax(-1)


def merged_attention(weights: Tensor, groups: Groups, importance: Tensor) -> Tensor:
    """Attention among groups: a group attends as the mean of its members by importance, and its keys' weights add up.

    Shape: weights (B, heads, n, n), importance (B, n) → (B, heads, m, m), rows that sum to 1.
    """
    heads = weights.shape[1]
    each = Groups(groups.order.repeat_interleave(heads, 0), groups.targets.repeat_interleave(heads, 0))
    by_row, _ = each.mean(weights.flatten(0, 1), importance.repeat_interleave(heads, 0))
    by_key = each.total(by_row.transpose(1, 2))
    return by_key.transpose(1, 2).unflatten(0, (-1, heads))


def _values(block: Block, tokens: Tensor) -> Tensor:
    """Shape: (B, n, C) → (B, heads, n, head_dim)."""
    attention = block.attn
    inner = attention.num_heads * attention.head_dim
    bias = None if attention.qkv.bias is None else attention.qkv.bias[2 * inner :]
    values = F.linear(block.norm1(tokens), attention.qkv.weight[2 * inner :], bias)
    return values.unflatten(-1, (attention.num_heads, attention.head_dim)).transpose(1, 2)


@torch.no_grad()
def fusion(
    tokens: Tensor, information: Tensor, sizes: Tensor, count: int, options: MCTFOptions, prefix: int = 1
) -> Groups:
    """Which tokens are fused: half of them from even positions into odd ones, the others back.

    Args:
        tokens: the block's input, (B, n, C), prefix tokens first.
        information: mean attention that each token gets, (B, n).
        sizes: (B, n).
        count: how many tokens are fused away.
        options: the three τ.
        prefix: how many tokens are not fused; where they are several, the others' positions count from behind them.

    Returns: what joins what. The order of the tokens matters, for the next block splits them by position.
    """
    if prefix > 1:
        patches, received, counts = (each[:, prefix:] for each in (tokens, information, sizes))
        return fusion(patches, received, counts, count, options, 0).behind(prefix)
    scores = _scores(tokens, information, sizes, options)
    if prefix:
        scores[:, 0] = -torch.inf
    forth = count // 2
    evens, odds = scores.shape[1:]
    best, partner = scores.max(2)
    order = best.argsort(dim=1)  # the class token's row is the lowest
    staying, joining = order[:, : evens - forth].sort(dim=1).values, order[:, evens - forth :]
    left = scores.gather(1, staying.unsqueeze(-1).expand(-1, -1, odds))
    best_odd, target_odd = left.max(1)
    order = best_odd.argsort(dim=1, descending=True)
    back, kept_odd = order[:, : count - forth], order[:, count - forth :]
    # Where each odd token comes to lie: in an even one, or behind those by rank.
    behind = staying.shape[1] + torch.arange(kept_odd.shape[1], device=order.device).expand_as(kept_odd)
    places = target_odd.scatter(1, kept_odd, behind)
    order = torch.cat([2 * staying, 2 * kept_odd + 1, 2 * joining, 2 * back + 1], dim=1)
    return Groups(order, torch.cat([places.gather(1, partner.gather(1, joining)), places.gather(1, back)], dim=1))


def _scores(tokens: Tensor, information: Tensor, sizes: Tensor, options: MCTFOptions) -> Tensor:
    """The product of the criteria for even with odd positions. Shape: → (B, ⌈n/2⌉, ⌊n/2⌋)."""
    similar = (cosines(tokens, slice(0, None, 2), slice(1, None, 2)) + 1) / 2
    scores = similar.clamp(min=0) ** (1 / options.tau_sim)
    for criterion, tau in ((information, options.tau_info), (sizes, options.tau_size)):
        little = 1 / criterion
        little = (little / little.amax(1, keepdim=True)) ** (1 / tau)
        scores = scores * (little[:, ::2, None] * little[:, None, 1::2])
    return scores


def _least(vit: PlainViT) -> int:
    return min(LEAST - 1, vit.shape.patches // 16) + vit.shape.prefix


def _limits(vit: PlainViT, options: MCTFOptions) -> tuple[tuple[int, ...], float]:
    """The blocks that fuse, and the highest r."""
    counted = options.form == "count"
    everywhere = tuple(range(1, vit.shape.depth)) if counted else ()
    stages = blocks_of(options.stages or everywhere, vit.shape.depth)
    return stages, max(1, (vit.shape.tokens - _least(vit)) // len(stages)) if counted else 0.5


@register_method("mctf")
class MCTF(ReducingMethod[MCTFOptions]):
    """Multi-criteria token fusion on any plain ViT."""

    summary = "fuse tokens by similarity, information and size; runs untrained"
    venue, year = "CVPR", 2024
    paper = Citation(
        "Multi-criteria Token Fusion with One-step-ahead Attention for Efficient Vision Transformers",
        ("Lee, Sanghyeok", "Choi, Joonmyung", "Kim, Hyunwoo J."),
        arxiv="2403.10030",
    )
    Options = MCTFOptions
    budget_knob = "r"
    serves = EVERY_TRAIT

    def knobs(self, options: MCTFOptions, backbone: nn.Module) -> Mapping[str, BaseDistribution]:
        """``r``: tokens fused in each block, or their share."""
        _, highest = _limits(PlainViT(backbone, "method mctf", serves=self.serves), options)
        return {"r": IntDistribution(0, int(highest)) if options.form == "count" else FloatDistribution(0.0, highest)}

    def attach(self, backbone: nn.Module, options: MCTFOptions) -> MCTFModel:
        """A plain ViT with a class token."""
        return MCTFModel(backbone, options)
