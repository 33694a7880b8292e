"""Reuse between exits: features into the next exit's MLPs, relations into its attention."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from timm.layers import trunc_normal_
from torch import Tensor, nn

from dynvit import cost
from dynvit.backbones.vit import ViTShape
from dynvit.interface import Part
from dynvit.ops.resize import axis_matrix, grid_matrix, middle_size, resample

from .options import DVTOptions

POSITIONS = 1024
"""Positions of a map that the relation MLP processes at a time where it needs no gradient."""


@dataclass(frozen=True)
class Handed:
    """What an exit passes on to the next.

    Shape: ``features`` one tensor of (B, n, width), or one a block where reuse is layer-wise; ``relations`` one a
    block (only the last where only that is read) of (B, heads, n, n): attention logits before softmax.
    """

    features: tuple[Tensor, ...] = ()
    relations: tuple[Tensor, ...] = ()

    def of(self, images: Tensor) -> Handed:
        """The same for some of the images. Shape: images (b,), indices."""
        return Handed(tuple(f[images] for f in self.features), tuple(r[images] for r in self.relations))

    def split(self, size: int, portions: int) -> list[Handed]:
        """Portions of ``size`` images each, the rest in the last, as views."""
        features = [tuple(f[k * size : (k + 1) * size] for f in self.features) for k in range(portions)]
        relations = [tuple(r[k * size : (k + 1) * size] for r in self.relations) for k in range(portions)]
        return [Handed(f, r) for f, r in zip(features, relations, strict=True)]

    @staticmethod
    def joined(portions: Sequence[Handed]) -> Handed:
        """The inverse of ``split``."""
        features = zip(*(portion.features for portion in portions), strict=True)
        relations = zip(*(portion.relations for portion in portions), strict=True)
        return Handed(tuple(map(torch.cat, features)), tuple(map(torch.cat, relations)))


class FeatureReuse(nn.Module):
    """f_l of Eq. 4 for every block l at once: norm, 128 hidden, 48 out, resized to this exit's grid.

    All blocks read the same tokens, so these are normalised once and the norms' gains move into the first
    layer, which is one product for all blocks.
    """

    def __init__(self, shape: ViTShape, old: int, new: int, options: DVTOptions, eps: float) -> None:
        super().__init__()
        self.variant, self.old, self.new, self.eps = options.feature_reuse, old, new, eps
        self.resize, self.detach = options.resize, options.detaches("features")
        self.width, self.hidden, self.out = shape.width, options.feature_hidden, options.feature_width
        self.blocks = 1 if self.variant == "first_block" else shape.depth
        if self.variant != "no_norm":
            self.norm_weight = nn.Parameter(torch.ones(self.blocks, self.width))
            self.norm_bias = nn.Parameter(torch.zeros(self.blocks, self.width))
        self.fc1_weight = nn.Parameter(torch.empty(self.blocks, self.hidden, self.width))
        self.fc1_bias = nn.Parameter(torch.zeros(self.blocks, self.hidden))
        self.fc2_weight = nn.Parameter(torch.empty(self.blocks, self.out, self.hidden))
        self.fc2_bias = nn.Parameter(torch.zeros(self.blocks, self.out))
        for weight in (self.fc1_weight, self.fc2_weight):
            trunc_normal_(weight, std=0.02)

    def forward(self, handed: Handed, blocks: int) -> Tensor:
        """Features for the first ``blocks`` blocks; those of the class token are zeros.

        Shape: → (blocks, B, 1 + new², out).
        """
        sources = [f.detach() for f in handed.features] if self.detach else list(handed.features)
        blocks = min(blocks, self.blocks)
        batch, n, _ = sources[0].shape
        weight, bias = self.fc1_weight[:blocks], self.fc1_bias[:blocks]
        if self.variant != "no_norm":
            sources = [F.layer_norm(source, (self.width,), eps=self.eps) for source in sources]
            bias = bias + (weight * self.norm_bias[:blocks, None]).sum(-1)
            weight = weight * self.norm_weight[:blocks, None]
        if self.variant == "layerwise":
            rows = torch.stack(sources[:blocks]).flatten(1, 2)
            hidden = F.gelu(torch.baddbmm(bias[:, None], rows, weight.mT))
        else:
            joined = F.gelu(F.linear(sources[0], weight.flatten(0, 1), bias.flatten()))
            hidden = joined.view(batch * n, blocks, self.hidden).transpose(0, 1)
        features = torch.baddbmm(self.fc2_bias[:blocks, None], hidden, self.fc2_weight[:blocks].mT)
        features = features.view(blocks * batch, n, self.out)
        matrix = grid_matrix(self.old, self.new, self.resize, self.variant == "class_token").to(features)
        if self.variant == "class_token":
            return resample(features, matrix, None).view(blocks, batch, -1, self.out)
        grown = resample(features[:, 1:], matrix, None)
        return F.pad(grown, (0, 0, 1, 0)).view(blocks, batch, -1, self.out)

    def parts(self, blocks: int) -> list[Part]:
        """The work for one image, as ``dynvit.cost`` counts it."""
        blocks, n = min(blocks, self.blocks), 1 + self.old**2
        return [
            cost.Normalization("features.norm", 0 if self.variant == "no_norm" else blocks * n * self.width),
            cost.Linear("features.fc1", blocks * n, self.width, self.hidden),
            cost.Linear("features.fc2", blocks * n, self.hidden, self.out),
            _resize_part("features.resize", self.old, self.new, blocks * self.out, self.resize),
        ]


class RelationReuse(nn.Module):
    """r of Eq. 6 to 8: an MLP over the upstream exit's attention logits, resized to this exit's tokens.

    The MLP runs on the small maps, position by position; channels are block-major heads. Its output stays small and is
    resized one block at a time, where it is used.
    """

    def __init__(self, shape: ViTShape, old: int, new: int, options: DVTOptions) -> None:
        super().__init__()
        self.variant, self.old, self.new = options.relation_reuse, old, new
        self.resize, self.detach = options.resize, options.detaches("relations")
        self.heads, channels = shape.heads, shape.heads * shape.depth
        self.groups = shape.depth if self.variant == "layerwise" else 1
        self.out = channels // self.groups
        self.read = shape.heads if self.variant == "final_layer" else self.out
        self.hidden = 0 if self.variant == "linear" else self.out * options.relation_expansion
        widths = [self.read, self.hidden, self.out] if self.hidden else [self.read, self.out]
        self.weights = nn.ParameterList(torch.empty(self.groups, b, a) for a, b in pairwise(widths))
        self.biases = nn.ParameterList(torch.empty(self.groups, b, 1) for b in widths[1:])
        for weight, bias in zip(self.weights, self.biases, strict=True):
            # torch's initialisation of a convolution, as in the released code.
            bound = weight.shape[2] ** -0.5
            nn.init.uniform_(weight, -bound, bound)
            nn.init.uniform_(bias, -bound, bound)

    def forward(self, handed: Handed) -> Tensor:
        """The MLP, at the upstream exit's size. Shape: → (blocks, B, heads, n_old, n_old)."""
        relations = [r.detach() for r in handed.relations] if self.detach else list(handed.relations)
        batch, _, n, _ = relations[0].shape
        if torch.is_grad_enabled():
            joined = torch.cat(relations, 1).view(batch, self.groups, self.read, n * n)
            mixed = torch.stack([self._mix(joined[:, group], group) for group in range(self.groups)], 1)
            return mixed.view(batch, -1, self.heads, n, n).transpose(0, 1)
        mixed = relations[0].new_empty(batch, self.groups, self.out, n * n)
        for image in range(batch):
            joined = torch.cat([r[image] for r in relations]).view(self.groups, self.read, n * n)
            for group in range(self.groups):
                self._mix_in_place(joined[group], mixed[image, group], group)
        return mixed.view(batch, -1, self.heads, n, n).transpose(0, 1)

    def _mix(self, maps: Tensor, group: int) -> Tensor:
        for depth, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            maps = F.gelu(maps) if depth else maps
            # Expanded, so that autograd saves the weights themselves, not a copy for every image.
            maps = torch.baddbmm(bias[group], weight[group].expand(len(maps), -1, -1), maps)
        return maps

    def _mix_in_place(self, maps: Tensor, into: Tensor, group: int) -> None:
        """The MLP without gradients, a few positions at a time: the hidden maps stay in the cache."""
        weights, biases = ([p[group].to(maps.dtype) for p in ps] for ps in (self.weights, self.biases))
        for start in range(0, maps.shape[-1], POSITIONS):
            here = slice(start, start + POSITIONS)
            hidden = maps[:, here]
            if len(weights) == 2:
                hidden = F.gelu(torch.addmm(biases[0], weights[0], hidden))
            torch.addmm(biases[-1], weights[-1], hidden, out=into[:, here])

    def grow(self, relation: Tensor, class_row: bool = False) -> Tensor:
        """One block's relation at this exit's size, or the class token's row of it.

        Shape: (B, heads, n_old, n_old) → (B, heads, n, n), or (B, heads, 1, n).
        """
        if self.variant == "naive":
            matrix = axis_matrix(1 + self.old**2, 1 + self.new**2, self.resize).to(relation)
        else:
            matrix = grid_matrix(self.old, self.new, self.resize).to(relation)
        return resample(relation, matrix[:1] if class_row else matrix, matrix)

    def parts(self, last_is_class_row: bool) -> list[Part]:
        """The work for one image, as ``dynvit.cost`` counts it."""
        old, new = 1 + self.old**2, 1 + self.new**2
        layers = [
            cost.Convolution(f"relations.conv{depth}", old * old, weight.shape[2], weight.shape[1] * self.groups)
            for depth, weight in enumerate(self.weights)
        ]
        channels, last = self.out * self.groups, self.heads if last_is_class_row else 0
        if self.variant == "naive":
            middle = middle_size(old, new) ** 2 if self.resize == "released" else 0
            return [*layers, cost.Resize("relations.resize", channels * (middle or new * new), channels * middle)]
        queries = (channels - last) * new + last
        return [
            *layers,
            _resize_part("relations.resize_keys", self.old, self.new, channels * old, self.resize),
            _resize_part("relations.resize_queries", self.old, self.new, queries, self.resize),
        ]


def _resize_part(name: str, old: int, new: int, maps: int, resize: str) -> Part:
    """Resizing ``maps`` square maps; ``released`` goes up to a middle size and averages that."""
    if resize == "bilinear":
        return cost.Resize(name, upsampled=maps * new * new)
    middle = middle_size(old, new) ** 2
    return cost.Resize(name, upsampled=maps * middle, pooled=maps * middle)
