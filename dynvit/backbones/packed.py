"""Parts of a plain block on packs: images that keep the same heads, as rows of their kept tokens.

A method of which heads, tokens or halves of a block are dropped builds its executed block from these and from
``dynvit.ops.packing``; what is dropped is not computed, and nothing is padded.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from timm.layers import LayerScale
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from dynvit.backbones.vit import PlainViT
from dynvit.ops.packing import Pack, of, take


def head_outputs(block: Block, normed: Tensor, pack: Pack, seen: Sequence[int]) -> Tensor:
    """What the pack's heads attend to, joined: each image among its own tokens, equal token counts at once.

    ``seen`` are the heads whose channels ``normed`` has; queries, keys and values read no other.

    Shape: normed (n, C·s/H) → (n, k·head_dim).
    """
    attention, groups = block.attn, block.attn.num_heads
    weight = attention.qkv.weight.unflatten(0, (3, groups, -1)).unflatten(3, (groups, -1))
    weight = take(take(weight, 1, pack.heads), 3, seen).flatten(3).flatten(0, 2)
    bias = attention.qkv.bias
    return _attend(
        block,
        F.linear(normed, weight, None if bias is None else take(bias.view(3, groups, -1), 1, pack.heads).flatten()),
        pack,
    )


def _attend(block: Block, qkv: Tensor, pack: Pack) -> Tensor:
    """Shape: (n, 3·k·head_dim) → (n, k·head_dim)."""
    attention, mixed, start = block.attn, [], 0
    for images, count in pack.buckets:
        cut = qkv[start : start + images * count].view(images, count, 3, len(pack.heads), -1)
        queries, keys, values = cut.permute(2, 0, 3, 1, 4).unbind(0)
        queries, keys = attention.q_norm(queries), attention.k_norm(keys)
        found = F.scaled_dot_product_attention(queries, keys, values, scale=attention.scale)
        mixed.append(found.transpose(1, 2).reshape(images * count, -1))
        start += images * count
    return torch.cat(mixed) if len(mixed) > 1 else mixed[0]


def scaled(scale: nn.Module, made: Tensor, groups: int, heads: Sequence[int]) -> Tensor:
    """LayerScale on the channels of some groups, identity where the block has none. Shape: (n, c) → (n, c)."""
    gamma = of(getattr(scale, "gamma", None), groups, heads)
    return made if gamma is None else made * gamma


def not_grouped(vit: PlainViT) -> str:
    """Why channels cannot be divided among heads, or an empty string."""
    shape = vit.shape
    if shape.width % shape.heads or shape.hidden % shape.heads:
        return f"{shape.heads} heads do not divide its width {shape.width} and its MLP's {shape.hidden}"
    for index, block in enumerate(vit.blocks):
        if not isinstance(block.attn.norm, nn.Identity):
            return f"block {index} normalises all heads together"
        if not isinstance(block.norm1, nn.LayerNorm) or not isinstance(block.norm2, nn.LayerNorm):
            return f"block {index} has a {type(block.norm1).__name__} where a LayerNorm is needed"
        if not isinstance(block.ls1, nn.Identity | LayerScale):
            return f"block {index} has a {type(block.ls1).__name__} for its layer scale"
    return ""
