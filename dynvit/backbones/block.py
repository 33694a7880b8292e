"""The two halves of a plain timm block, apart: for methods that decide something between or inside them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from timm.models.vision_transformer import Block
from torch import Tensor

from dynvit.ops.attention import SoftmaxForm, class_row_attention, masked_attention
from dynvit.ops.ragged import Ragged, by_equal_counts


def attention_inputs(block: Block, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values of a plain block's attention, with its norms applied.

    Shape: tokens (B, n, width) → three of (B, heads, n, head_dim).
    """
    return _split(block, block.attn.qkv(block.norm1(tokens)))


def ragged_attention_inputs(block: Block, rows: Tensor, ragged: Ragged) -> tuple[Tensor, Tensor, Tensor]:
    """``attention_inputs`` of images that are rows of one matrix.

    Shape: rows (rows, width) → three of (B, heads, most, head_dim).
    """
    return _split(block, ragged.spread(block.attn.qkv(block.norm1(rows))))


def ragged_block(block: Block, rows: Tensor, ragged: Ragged) -> Tensor:
    """A whole block on images of different token counts. Shape: (rows, width) → the same."""

    def attended(own: Tensor, even: Ragged) -> Tensor:
        queries, keys, values = ragged_attention_inputs(block, own, even)
        mixed = F.scaled_dot_product_attention(queries, keys, values, scale=block.attn.scale)
        return even.rows(mixed.transpose(1, 2).flatten(2))

    return mlp_output(block, joined_output(block, rows, by_equal_counts(rows, ragged, attended)))


def attention_output(block: Block, tokens: Tensor, mixed: Tensor) -> Tensor:
    """Project the heads' outputs and add them to the residual stream.

    Shape: tokens (B, n, width), mixed (B, heads, n, head_dim) → (B, n, width).
    """
    return joined_output(block, tokens, mixed.transpose(1, 2).flatten(2))


def joined_output(block: Block, tokens: Tensor, joined: Tensor) -> Tensor:
    """``attention_output`` of heads that are joined already. Shape: tokens (…, width), joined (…, heads·head_dim)."""
    attention = block.attn
    return tokens + block.drop_path1(block.ls1(attention.proj_drop(attention.proj(attention.norm(joined)))))


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


def class_attention(
    block: Block, tokens: Tensor, sizes: Tensor | None = None, prefix: int = 1
) -> tuple[Tensor, Tensor]:
    """The attention half of a block, and how much the class token attends to each token but the ``prefix`` first.

    ``sizes``, where given, weight the keys (``ops.attention.size_weighted_attention``).

    Shape: tokens (B, prefix + n, width), sizes (B, prefix + n) → (B, prefix + n, width), scores (B, n): the mean over
    heads.
    """
    mixed, weights = class_row_attention(*attention_inputs(block, tokens), block.attn.scale, sizes)
    return attention_output(block, tokens, mixed), weights[:, :, prefix:].mean(1)


def masked_class_attention(block: Block, tokens: Tensor, policy: Tensor, prefix: int = 1) -> tuple[Tensor, Tensor]:
    """``class_attention`` in which dropped tokens are no keys; their score is 0.

    Shape: tokens (B, prefix + n, width), policy (B, prefix + n) → (B, prefix + n, width), scores (B, n).
    """
    queries, keys, values = attention_inputs(block, tokens)
    logits = queries[:, :, 0:1] * block.attn.scale @ keys.transpose(-2, -1)
    weights = logits.masked_fill(policy[:, None, None] <= 0, -torch.inf).softmax(-1)
    mixed = masked_attention(queries, keys, values, policy, block.attn.scale)
    return attention_output(block, tokens, mixed), weights[:, :, 0, prefix:].mean(1)


def _split(block: Block, qkv: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    attention = block.attn
    apart = qkv.unflatten(-1, (3, attention.num_heads, attention.head_dim))
    queries, keys, values = apart.permute(2, 0, 3, 1, 4).unbind(0)
    return attention.q_norm(queries), attention.k_norm(keys), values
