"""A plain block in which what is masked is not computed: images of one head set share matrix products.

Rows of kept tokens are read from the residual stream and written back to it; dropped tokens are unchanged.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from dynvit.ops.packing import Pack, add, columns, of, packs, part, take

from .blocks import BlockForm
from .gates import Masks


def packed_block(block: Block, tokens: Tensor, masks: Masks, form: BlockForm) -> Tensor:
    """A block with a class token, which is always kept. Writes to ``tokens``.

    Shape: tokens (B, 1 + N, C), masks bool → (B, 1 + N, C).
    """
    stream = tokens.view(-1, tokens.shape[-1])
    policy = F.pad(masks.tokens, (1, 0), value=True)
    for pack in packs(masks.runs(class_token=True), masks.heads, policy):
        stream.index_copy_(0, pack.rows, kept_rows(block, stream.index_select(0, pack.rows), pack, form))
    return tokens


def kept_rows(block: Block, rows: Tensor, pack: Pack, form: BlockForm) -> Tensor:
    """A block on the kept tokens of images that keep the same heads. Writes to ``rows``.

    Shape: rows (n, C) → (n, C).
    """
    attention, mlp, heads = block.attn, block.mlp, pack.heads
    groups, every = attention.num_heads, tuple(range(attention.num_heads))
    seen = heads if form.channels == "kept" else every

    normed = kept_norm(block.norm1, rows, seen, groups, form)
    weight = attention.qkv.weight.unflatten(0, (3, groups, -1)).unflatten(3, (groups, -1))
    weight = take(take(weight, 1, heads), 3, seen).flatten(3).flatten(0, 2)
    bias = attention.qkv.bias
    qkv = F.linear(normed, weight, None if bias is None else take(bias.view(3, groups, -1), 1, heads).flatten())
    mixed = F.linear(
        _attend(block, qkv, pack),
        part(attention.proj.weight, groups, seen, heads),
        of(attention.proj.bias, groups, seen),
    )
    add(rows, scaled(block.ls1, mixed, groups, seen), groups, seen)

    normed = kept_norm(block.norm2, rows, heads, groups, form)
    hidden = mlp.act(F.linear(normed, part(mlp.fc1.weight, groups, heads, heads), of(mlp.fc1.bias, groups, heads)))
    made = F.linear(hidden, part(mlp.fc2.weight, groups, heads, heads), of(mlp.fc2.bias, groups, heads))
    add(rows, scaled(block.ls2, made, groups, heads), groups, heads)
    return rows


def _attend(block: Block, qkv: Tensor, pack: Pack) -> Tensor:
    """Attention of each image among its own tokens; equal token counts at once. Shape: (n, 3·k·E) → (n, k·E)."""
    attention, mixed, start = block.attn, [], 0
    for images, count in pack.buckets:
        cut = qkv[start : start + images * count].view(images, count, 3, len(pack.heads), -1)
        queries, keys, values = cut.permute(2, 0, 3, 1, 4).unbind(0)
        queries, keys = attention.q_norm(queries), attention.k_norm(keys)
        found = F.scaled_dot_product_attention(queries, keys, values, scale=attention.scale)
        mixed.append(found.transpose(1, 2).reshape(images * count, -1))
        start += images * count
    return torch.cat(mixed) if len(mixed) > 1 else mixed[0]


def kept_norm(norm: nn.Module, rows: Tensor, seen: Sequence[int], groups: int, form: BlockForm) -> Tensor:
    """LayerNorm of a half that reads the channels of ``seen`` only, in the form's way.

    Shape: rows (n, C) → (n, C·k/H).
    """
    assert isinstance(norm, nn.LayerNorm)
    if form.norm == "unmasked" or len(seen) == groups:
        return columns(norm(rows), groups, seen)
    kept = columns(rows, groups, seen)
    if form.norm == "kept":
        weight, bias = of(norm.weight, groups, seen), of(norm.bias, groups, seen)
        return F.layer_norm(kept, (kept.shape[1],), weight, bias, norm.eps)
    zeros = torch.zeros_like(rows)
    add(zeros, kept, groups, seen)
    return columns(norm(zeros), groups, seen)


def scaled(scale: nn.Module, made: Tensor, groups: int, heads: Sequence[int]) -> Tensor:
    """LayerScale on the channels of some groups, identity where the block has none. Shape: (n, c) → (n, c)."""
    gamma = of(getattr(scale, "gamma", None), groups, heads)
    return made if gamma is None else made * gamma
