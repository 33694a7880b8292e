"""The last block of a plain ViT where its head reads the class token alone: only that token's row is computed."""

from __future__ import annotations

import torch.nn.functional as F
from timm.models.vision_transformer import Block
from torch import Tensor

from dynvit import cost
from dynvit.backbones.block import attention_output, mlp_output
from dynvit.backbones.vit import PlainViT
from dynvit.interface import Part


def class_row_block(block: Block, tokens: Tensor) -> Tensor:
    """The class token after a block, in which it attends to every token. Shape: (B, n, width) → (B, 1, width)."""
    queries, keys, values = class_row_inputs(block, tokens)
    mixed = F.scaled_dot_product_attention(queries, keys, values, scale=block.attn.scale)
    return mlp_output(block, attention_output(block, tokens[:, :1], mixed))


def class_row_inputs(block: Block, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The class token's query, and every token's key and value.

    Shape: tokens (B, n, width) → (B, heads, 1, head_dim), twice (B, heads, n, head_dim).
    """
    attention = block.attn
    inner, split = attention.attn_dim, (attention.num_heads, attention.head_dim)
    normed, weight, bias = block.norm1(tokens), attention.qkv.weight, attention.qkv.bias
    halves = (None, None) if bias is None else (bias[:inner], bias[inner:])
    query = F.linear(normed[:, :1], weight[:inner], halves[0]).unflatten(-1, split).transpose(1, 2)
    keys, values = F.linear(normed, weight[inner:], halves[1]).unflatten(-1, (2, *split)).permute(2, 0, 3, 1, 4)
    return attention.q_norm(query), attention.k_norm(keys), values


def class_row_parts(vit: PlainViT, index: int) -> list[Part]:
    """The work of ``class_row_block``: keys and values of all tokens, the rest of one."""
    shape, name = vit.shape, f"blocks.{index}"
    inner = shape.heads * shape.head_dim
    return [
        cost.Normalization(f"{name}.norm1", shape.tokens * shape.width),
        cost.Linear(f"{name}.attn.q", 1, shape.width, inner),
        cost.Linear(f"{name}.attn.kv", shape.tokens, shape.width, 2 * inner),
        cost.Attention(f"{name}.attn", 1, shape.tokens, shape.heads, shape.head_dim),
        cost.Linear(f"{name}.attn.proj", 1, inner, shape.width),
        *vit.mlp_parts(index, 1),
    ]
