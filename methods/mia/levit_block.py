"""A LeViT block under masks, dense and differentiable, and executed. Tensors and a timm block in, tensors out.

As in a plain block, dropping a head drops its part of the attention and its group in the input, the middle and the
output of the MLP. Where the heads do not divide a width (288 by 5 in LeViT-192) each owns ⌊width / heads⌋ channels, and
the last few, which nobody owns, are always kept. Norms are batch norms with fixed statistics behind each linear layer:
a scale and a shift of one channel, so what is dropped elsewhere is nothing to them.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from timm.models.levit import Attention, LevitBlock, LinearNorm
from torch import Tensor

from dynvit.backbones.levit import attention_inputs, relative_bias
from dynvit.ops.attention import masked_attention

from .blocks import BlockForm
from .gates import Masks


def masked_levit_block(block: LevitBlock, tokens: Tensor, masks: Masks, form: BlockForm) -> Tensor:
    """Both halves; there is no class token.

    Shape: tokens (B, N, C), masks of B images, H heads and N tokens → (B, N, C).
    """
    attention, mlp, width = block.attn, block.mlp, tokens.shape[-1]
    channels = shared_out(masks.heads, width) if form.heads else tokens.new_ones(1, 1, 1)
    seen = channels if form.channels == "kept" else tokens.new_ones(1, 1, 1)
    written = (masks.runs(class_token=False)[:, None] * masks.tokens).unsqueeze(-1)

    queries, keys, values = attention_inputs(attention, tokens * seen)
    mixed = masked_attention(queries, keys, values, masks.tokens, attention.scale, bias=relative_bias(attention))
    heard = attention.proj.act(mixed) * masks.heads[:, :, None, None]
    made = attention.proj.ln(heard.transpose(1, 2).flatten(2))
    tokens = tokens + block.drop_path1(made) * (written * seen)

    hidden = mlp.drop(mlp.act(mlp.ln1(tokens * channels)))
    if form.heads:
        hidden = hidden * shared_out(masks.heads, hidden.shape[-1])
    return tokens + block.drop_path2(mlp.ln2(hidden)) * (written * channels)


def kept_levit_block(block: LevitBlock, tokens: Tensor, rows: Tensor, heads: Tensor, form: BlockForm) -> Tensor:
    """A block on the tokens that are left of one image, at ``rows`` of its grid, with the heads that are left.

    Shape: tokens (n, C), rows (n,) and heads (k,) indices → (n, C).
    """
    attention, mlp, width = block.attn, block.mlp, tokens.shape[-1]
    groups, channels = attention.num_heads, owned(heads, attention.num_heads, width)
    seen = channels if form.channels == "kept" else torch.arange(width, device=tokens.device)
    inner = members(heads, attention.val_dim)
    units = owned(heads, groups, mlp.ln1.linear.out_features)

    three = part_of(attention.qkv, members(heads, 2 * attention.key_dim + attention.val_dim), seen, tokens[:, seen])
    queries, keys, values = (
        three.unflatten(-1, (len(heads), -1))
        .transpose(0, 1)
        .split([attention.key_dim, attention.key_dim, attention.val_dim], dim=-1)
    )
    logits = queries * attention.scale @ keys.transpose(-2, -1) + bias_of(attention, rows, heads)
    mixed = attention.proj.act((logits.softmax(-1) @ values).transpose(0, 1).flatten(1))
    tokens = tokens.index_add(1, seen, part_of(attention.proj.ln, seen, inner, mixed))

    hidden = mlp.act(part_of(mlp.ln1, units, channels, tokens[:, channels]))
    return tokens.index_add(1, channels, part_of(mlp.ln2, channels, units, hidden))


def shared_out(heads: Tensor, width: int) -> Tensor:
    """A head's mask on each channel that it owns, 1 on those that nobody owns. Shape: (B, H) → (B, 1, width)."""
    each, rest = divmod(width, heads.shape[1])
    return F.pad(heads.repeat_interleave(each, dim=1), (0, rest), value=1.0).unsqueeze(1)


def owned(heads: Tensor, groups: int, width: int) -> Tensor:
    """The channels of some of ``groups`` heads, and those that nobody owns. Shape: (k,) → (c,).

    >>> owned(torch.tensor([0, 2]), 3, 8).tolist()
    [0, 1, 4, 5, 6, 7]
    """
    each = width // groups
    return torch.cat([members(heads, each), torch.arange(groups * each, width, device=heads.device)])


def members(heads: Tensor, width: int) -> Tensor:
    """The channels of some heads' groups of ``width``. Shape: (k,) → (k·width,)."""
    return (heads[:, None] * width + torch.arange(width, device=heads.device)).flatten()


def part_of(layer: LinearNorm, out: Tensor, into: Tensor, values: Tensor) -> Tensor:
    """Some outputs of a linear layer and its batch norm, from some inputs; the others count as 0.

    Shape: out (o,) and into (i,) indices, values (n, i) → (n, o).
    """
    norm = layer.bn
    made = F.linear(values, layer.linear.weight[out][:, into])
    return F.batch_norm(
        made, norm.running_mean[out], norm.running_var[out], norm.weight[out], norm.bias[out], eps=norm.eps
    )


def bias_of(attention: Attention, rows: Tensor, heads: Tensor) -> Tensor:
    """``relative_bias`` between some tokens for some heads. Shape: rows (n,), heads (k,) → (k, n, n)."""
    return attention.attention_biases[heads][:, attention.attention_bias_idxs[rows][:, rows]]
