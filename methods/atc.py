"""ATC: merge tokens by agglomerative clustering (Haurum et al., arXiv 2409.11923). No training needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from optuna.distributions import BaseDistribution, FloatDistribution
from scipy.cluster.hierarchy import linkage
from scipy.spatial.distance import squareform
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from dynvit import cost
from dynvit.backbones.block import attention_inputs, attention_output
from dynvit.backbones.reducing import ReducingMethod, ReducingModel, Step
from dynvit.interface import EVERY_TRAIT, Citation, OperatingPoint, register_method
from dynvit.ops.attention import size_weighted_attention
from dynvit.ops.merging import Groups, cosines, summed_over_heads
from dynvit.ops.schedule import blocks_of, kept_from_block

Linkage = Literal["single", "average", "complete"]


@dataclass(frozen=True)
class ATCOptions:
    """What ATC leaves to choose (arXiv 2409.11923)."""

    stages: tuple[int, ...] = ()
    """Blocks that merge, counted from 0. Empty: three, evenly spread (3, 6 and 9 of 12)."""
    linkage: Linkage = "complete"
    """The distance of two clusters: of their nearest members, of all pairs as a mean, of their farthest."""
    proportional: bool = True
    """Whether a token of size s counts as s keys, here and in later merges. Off: sizes are forgotten after a block."""


class ATCModel(ReducingModel[int]):
    """A plain ViT that merges its patches into ⌊N·ρ^s⌋ clusters, between attention and MLP, at some blocks."""

    neutral = OperatingPoint(keep_ratio=1.0)

    def __init__(self, backbone: nn.Module, options: ATCOptions) -> None:
        super().__init__(backbone, "method atc", ATC.serves)
        self.options, self.stages = options, blocks_of(options.stages, self.vit.shape.depth)

    def plan(self, point: OperatingPoint) -> Sequence[int | None]:
        """The clusters that each block merges the patches into."""
        counts = kept_from_block(self.vit.shape.patches, point.number("keep_ratio"), self.stages)
        return [counts.get(index) for index in range(self.vit.shape.depth)]

    def attend(self, block: Block, step: Step, wanted: int | None, given: Any) -> Step:
        """Attention, then the patches become ``wanted`` clusters by the cosine of the heads' mean keys."""
        queries, keys, values = attention_inputs(block, step.tokens)
        mixed = size_weighted_attention(queries, keys, values, block.attn.scale, step.sizes)
        tokens, patches = attention_output(block, step.tokens, mixed), step.tokens.shape[1] - self.vit.shape.prefix
        if wanted is None or wanted == patches:
            return Step(tokens, step.sizes)
        prefix = self.vit.shape.prefix
        groups = given or clusters(summed_over_heads(keys)[:, prefix:], wanted, self.options.linkage).behind(prefix)
        merged, sizes = groups.mean(tokens, step.sizes)
        matching = cost.Matching("matching", patches, patches, keys.shape[-1])
        return Step(merged, sizes if self.options.proportional else None, groups, (matching,))


def clusters(metric: Tensor, count: int, method: Linkage) -> Groups:
    """Agglomerative clustering of each image's patches by cosine distance, as groups.

    It runs image by image on the CPU: what is nearest changes with every merge.

    Shape: metric (B, n, d).
    """
    every = slice(None)
    distances = (1 - cosines(metric, every, every)).clamp(min=0).double().cpu().numpy()
    labels = np.stack([_labels(linkage(squareform(each, checks=False), method), count) for each in distances])
    first = np.stack([np.unique(row, return_index=True)[1] for row in labels])
    others = np.stack([np.setdiff1d(np.arange(labels.shape[1]), row) for row in first])
    targets = np.take_along_axis(labels, others, axis=1)
    order, goal = (torch.from_numpy(each).to(metric.device) for each in (np.hstack([first, others]), targets))
    return Groups(order, goal)


def _labels(merges: np.ndarray, count: int) -> np.ndarray:
    """Clusters after all but the last merges, numbered by their first members. Shape: (n − 1, 4) → (n,)."""
    leaves = len(merges) + 1
    done = leaves - count
    root = np.arange(leaves + done)
    for step in reversed(range(done)):
        root[merges[step, :2].astype(int)] = root[leaves + step]
    _, first, labels = np.unique(root[:leaves], return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[labels]


@register_method("atc")
class ATC(ReducingMethod[ATCOptions]):
    """Agglomerative token clustering on any plain ViT."""

    summary = "merge patches by agglomerative clustering; no training needed"
    venue, year = "ECCV", 2024
    paper = Citation(
        "Agglomerative Token Clustering",
        ("Haurum, Joakim Bruslund", "Escalera, Sergio", "Taylor, Graham W.", "Moeslund, Thomas B."),
        arxiv="2409.11923",
    )
    Options = ATCOptions
    budget_knob = "keep_ratio"
    serves = EVERY_TRAIT

    def knobs(self, options: ATCOptions) -> Mapping[str, BaseDistribution]:
        """``keep_ratio``: ρ; stage s keeps ⌊N·ρ^s⌋ clusters."""
        return {"keep_ratio": FloatDistribution(0.25, 1.0)}

    def attach(self, backbone: nn.Module, options: ATCOptions) -> ATCModel:
        """A plain ViT with a class token."""
        return ATCModel(backbone, options)
