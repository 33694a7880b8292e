"""The two halves of a plain timm block, apart: for methods that decide something between or inside them."""

from __future__ import annotations

import torch
from timm.models.vision_transformer import Block
from torch import Tensor

from dynvit.ops.attention import SoftmaxForm, class_row_attention, masked_attention


def attention_inputs(block: Block, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values of a plain block's attention, with its norms applied.

    Shape: tokens (B, n, width) → three of (B, heads, n, head_dim).
    """
    attention = block.attn
    batch, n, _ = tokens.shape
    qkv = attention.qkv(block.norm1(tokens)).reshape(batch, n, 3, attention.num_heads, attention.head_dim)
    queries, keys, values = qkv.permute(2, 0, 3, 1, 4).unbind(0)
    return attention.q_norm(queries), attention.k_norm(keys), values


def attention_output(block: Block, tokens: Tensor, mixed: Tensor) -> Tensor:
    """Project the heads' outputs and add them to the residual stream.

    Shape: tokens (B, n, width), mixed (B, heads, n, head_dim) → (B, n, width).
    """
    attention = block.attn
    joined = attention.norm(mixed.transpose(1, 2).flatten(2))
    return tokens + block.drop_path1(block.ls1(attention.proj_drop(attention.proj(joined))))


def mlp_output(block: Block, tokens: Tensor) -> Tensor:
    """The MLP half of a block, with its residual.

    Shape: (B, n, width) → the same.
    """
    return tokens + block.drop_path2(block.ls2(block.mlp(block.norm2(tokens))))


def masked_attention_output(block: Block, tokens: Tensor, policy: Tensor, form: SoftmaxForm = "exact") -> Tensor:
    """The attention half of a block in which dropped tokens are no keys.

    Shape: tokens (B, 1 + n, width), policy (B, 1 + n), 1 for kept, 0 for dropped → (B, 1 + n, width).
    """
    queries, keys, values = attention_inputs(block, tokens)
    return attention_output(block, tokens, masked_attention(queries, keys, values, policy, block.attn.scale, form))


def class_attention(block: Block, tokens: Tensor, sizes: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The attention half of a block, and how much the class token attends to each other token.

    ``sizes``, where given, weight the keys (``ops.attention.size_weighted_attention``).

    Shape: tokens (B, 1 + n, width), sizes (B, 1 + n) → (B, 1 + n, width), scores (B, n): the mean over heads.
    """
    mixed, weights = class_row_attention(*attention_inputs(block, tokens), block.attn.scale, sizes)
    return attention_output(block, tokens, mixed), weights[:, :, 1:].mean(1)


def masked_class_attention(block: Block, tokens: Tensor, policy: Tensor) -> tuple[Tensor, Tensor]:
    """``class_attention`` in which dropped tokens are no keys; their score is 0.

    Shape: tokens (B, 1 + n, width), policy (B, 1 + n) → (B, 1 + n, width), scores (B, n).
    """
    queries, keys, values = attention_inputs(block, tokens)
    logits = queries[:, :, 0:1] * block.attn.scale @ keys.transpose(-2, -1)
    weights = logits.masked_fill(policy[:, None, None] <= 0, -torch.inf).softmax(-1)
    mixed = masked_attention(queries, keys, values, policy, block.attn.scale)
    return attention_output(block, tokens, mixed), weights[:, :, 0, 1:].mean(1)
