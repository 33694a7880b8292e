"""A plain block in which what is masked is not computed."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from .blocks import BlockForm
from .gates import Masks


def looped_block(block: Block, tokens: Tensor, masks: Masks, form: BlockForm) -> Tensor:
    """Image by image: what each gathers, computes and adds back is its own. The plain reading that packing is held to.

    Shape: tokens (B, 1 + N, C), masks bool → (B, 1 + N, C).
    """
    tokens = tokens.clone()
    policy = F.pad(masks.tokens, (1, 0), value=True)
    for image in masks.runs(class_token=True).nonzero().flatten().tolist():
        rows, heads = policy[image].nonzero().flatten(), masks.heads[image].nonzero().flatten()
        tokens[image, rows] = kept_block(block, tokens[image, rows], heads, form)
    return tokens


def kept_block(block: Block, tokens: Tensor, heads: Tensor, form: BlockForm) -> Tensor:
    """A block on the tokens that are left of one image, with the heads that are left.

    Shape: tokens (n, C), heads (k,) indices → (n, C).
    """
    attention, mlp, width = block.attn, block.mlp, tokens.shape[-1]
    count, groups = len(heads), attention.num_heads
    channels = members(heads, width // groups)
    inner, units = members(heads, attention.head_dim), members(heads, mlp.fc1.out_features // groups)
    seen = channels if form.channels == "kept" else torch.arange(width, device=tokens.device)

    normed = kept_norm(block.norm1, tokens, None if form.channels == "all" else channels, form)
    three = torch.cat([inner + part * attention.attn_dim for part in range(3)])
    bias = None if attention.qkv.bias is None else attention.qkv.bias[three]
    qkv = F.linear(normed, attention.qkv.weight[three][:, seen], bias).reshape(len(tokens), 3, count, -1)
    queries, keys, values = qkv.permute(1, 2, 0, 3).unbind(0)
    queries, keys = attention.q_norm(queries), attention.k_norm(keys)
    mixed = F.scaled_dot_product_attention(queries[None], keys[None], values[None], scale=attention.scale)[0]
    bias = None if attention.proj.bias is None else attention.proj.bias[seen]
    made = F.linear(mixed.transpose(0, 1).flatten(1), attention.proj.weight[seen][:, inner], bias)
    tokens = tokens.index_add(1, seen, scaled(block.ls1, made, seen))

    normed = kept_norm(block.norm2, tokens, channels, form)
    hidden = mlp.act(F.linear(normed, mlp.fc1.weight[units][:, channels], mlp.fc1.bias[units]))
    made = F.linear(hidden, mlp.fc2.weight[channels][:, units], mlp.fc2.bias[channels])
    return tokens.index_add(1, channels, scaled(block.ls2, made, channels))


def members(heads: Tensor, width: int) -> Tensor:
    """The channels of some heads' groups of ``width``. Shape: (k,) → (k·width,)."""
    return (heads[:, None] * width + torch.arange(width, device=heads.device)).flatten()


def kept_norm(norm: nn.Module, tokens: Tensor, channels: Tensor | None, form: BlockForm) -> Tensor:
    """LayerNorm of a half that reads ``channels`` alone, None for all, by the form's reading.

    Shape: tokens (n, C), channels (c,) → (n, c).
    """
    if channels is None:
        return norm(tokens)
    if form.norm == "unmasked":
        return norm(tokens)[:, channels]
    assert isinstance(norm, nn.LayerNorm)
    if form.norm == "masked":
        return norm(torch.zeros_like(tokens).index_copy(1, channels, tokens[:, channels]))[:, channels]
    return F.layer_norm(tokens[:, channels], (len(channels),), norm.weight[channels], norm.bias[channels], norm.eps)


def scaled(scale: nn.Module, made: Tensor, channels: Tensor) -> Tensor:
    """LayerScale on some channels, or nothing where the block has none. Shape: (n, c) → (n, c)."""
    return made if isinstance(scale, nn.Identity) else made * scale.gamma[channels]
