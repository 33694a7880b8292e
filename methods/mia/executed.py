"""A plain block in which what is masked is not computed: images of one head set share matrix products.

Rows of kept tokens are read from the residual stream and written back to it; dropped tokens are unchanged.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from dynvit.backbones.packed import head_outputs, scaled
from dynvit.ops.packing import Pack, add, columns, of, packs, part

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
    mixed = F.linear(
        head_outputs(block, normed, pack, seen),
        part(attention.proj.weight, groups, seen, heads),
        of(attention.proj.bias, groups, seen),
    )
    add(rows, scaled(block.ls1, mixed, groups, seen), groups, seen)

    normed = kept_norm(block.norm2, rows, heads, groups, form)
    hidden = mlp.act(F.linear(normed, part(mlp.fc1.weight, groups, heads, heads), of(mlp.fc1.bias, groups, heads)))
    made = F.linear(hidden, part(mlp.fc2.weight, groups, heads, heads), of(mlp.fc2.bias, groups, heads))
    add(rows, scaled(block.ls2, made, groups, heads), groups, heads)
    return rows


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
