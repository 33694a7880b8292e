"""A LeViT block under masks, dense and differentiable, and executed. Tensors and a timm block in, tensors out.

As in a plain block, dropping a head drops its part of the attention and its group in the input, the middle and the
output of the MLP. Where the heads do not divide a width (288 by 5 in LeViT-192) each owns ⌊width / heads⌋ channels, and
the last few, of no head, are always kept. Norms are batch norms with fixed statistics after each linear layer:
a scale and a shift of one channel, independent of what is dropped elsewhere.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from timm.models.levit import Attention, LevitBlock, LinearNorm
from torch import Tensor

from dynvit.backbones.levit import attention_inputs, relative_bias
from dynvit.ops.attention import masked_attention
from dynvit.ops.packing import Pack, packs
from dynvit.ops.upload import uploaded

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
    masked = attention.proj.act(mixed) * masks.heads[:, :, None, None]
    made = attention.proj.ln(masked.transpose(1, 2).flatten(2))
    tokens = tokens + block.drop_path1(made) * (written * seen)

    hidden = mlp.drop(mlp.act(mlp.ln1(tokens * channels)))
    if form.heads:
        hidden = hidden * shared_out(masks.heads, hidden.shape[-1])
    return tokens + block.drop_path2(mlp.ln2(hidden)) * (written * channels)


def packed_levit_block(block: LevitBlock, tokens: Tensor, masks: Masks, form: BlockForm) -> Tensor:
    """The same block without computing what is masked; images of one head set share matrix products. Writes to
    ``tokens``.

    Shape: tokens (B, N, C), masks bool → (B, N, C).
    """
    tokens = tokens.contiguous()
    stream = tokens.view(-1, tokens.shape[-1])
    for pack in packs(masks.runs(class_token=False), masks.heads, masks.tokens):
        places = pack.rows % tokens.shape[1]
        stream.index_copy_(0, pack.rows, _kept_rows(block, stream.index_select(0, pack.rows), places, pack, form))
    return tokens


def _kept_rows(block: LevitBlock, rows: Tensor, places: Tensor, pack: Pack, form: BlockForm) -> Tensor:
    """A block on the kept tokens, at ``places`` of the grid, of images that keep the same heads.

    Shape: rows (n, C), places (n,) → (n, C).
    """
    attention, mlp, width = block.attn, block.mlp, rows.shape[1]
    heads, groups = uploaded(pack.heads, rows.device), attention.num_heads
    channels, units = owned(heads, groups, width), owned(heads, groups, mlp.ln1.linear.out_features)
    seen = channels if form.channels == "kept" else torch.arange(width, device=rows.device)

    qkv = _cut(attention.qkv, members(heads, 2 * attention.key_dim + attention.val_dim), seen, rows)
    mixed = attention.proj.act(_attend(attention, qkv, places, heads, pack))
    rows = _added(rows, seen, _cut(attention.proj.ln, seen, members(heads, attention.val_dim), mixed, whole=False))
    hidden = mlp.act(_cut(mlp.ln1, units, channels, rows))
    return _added(rows, channels, _cut(mlp.ln2, channels, units, hidden, whole=False))


def _attend(attention: Attention, qkv: Tensor, places: Tensor, heads: Tensor, pack: Pack) -> Tensor:
    """Attention of each image among its own tokens; equal token counts at once. Shape: (n, k·…) → (n, k·V)."""
    sizes, biases = [attention.key_dim, attention.key_dim, attention.val_dim], relative_bias(attention)[heads]
    mixed, start = list[Tensor](), 0
    for images, count in pack.buckets:
        end = start + images * count
        cut = qkv[start:end].view(images, count, len(heads), -1).transpose(1, 2)
        queries, keys, values = cut.split(sizes, dim=-1)
        at = places[start:end].view(images, count)
        # Selecting rows, then columns, copies; an index of both looks each pair up, which takes longer.
        between = [biases.index_select(1, kept).index_select(2, kept) for kept in at]
        logits = queries * attention.scale @ keys.transpose(-2, -1) + torch.stack(between)
        mixed.append((logits.softmax(-1) @ values).transpose(1, 2).reshape(images * count, -1))
        start = end
    return torch.cat(mixed)


def shared_out(heads: Tensor, width: int) -> Tensor:
    """A head's mask on each of its channels, 1 on those of no head. Shape: (B, H) → (B, 1, width)."""
    each, rest = divmod(width, heads.shape[1])
    return F.pad(heads.repeat_interleave(each, dim=1), (0, rest), value=1.0).unsqueeze(1)


def owned(heads: Tensor, groups: int, width: int) -> Tensor:
    """The channels of some of ``groups`` heads, and those of no head. Shape: (k,) → (c,).

    >>> owned(torch.tensor([0, 2]), 3, 8).tolist()
    [0, 1, 4, 5, 6, 7]
    """
    each = width // groups
    return torch.cat([members(heads, each), torch.arange(groups * each, width, device=heads.device)])


def members(heads: Tensor, width: int) -> Tensor:
    """The channels of some heads' groups of ``width``. Shape: (k,) → (k·width,)."""
    return (heads[:, None] * width + torch.arange(width, device=heads.device)).flatten()


def _cut(layer: LinearNorm, out: Tensor, into: Tensor, values: Tensor, whole: bool = True) -> Tensor:
    """Some outputs of a linear layer and its batch norm, from some inputs; the others count as 0.

    ``values`` are all of the layer's inputs, or with ``whole`` False those of ``into`` only.

    Shape: out (o,) and into (i,) ascending indices, values (n, d) or (n, i) → (n, o).
    """
    weight, norm = layer.linear.weight, layer.bn
    if len(out) == weight.shape[0] and len(into) == weight.shape[1]:
        return norm(F.linear(values, weight))
    if len(into) < weight.shape[1]:
        weight = weight.index_select(1, into)
        values = values.index_select(1, into) if whole else values
    made = F.linear(values, weight.index_select(0, out))
    return F.batch_norm(
        made, norm.running_mean[out], norm.running_var[out], norm.weight[out], norm.bias[out], eps=norm.eps
    )


def _added(rows: Tensor, channels: Tensor, made: Tensor) -> Tensor:
    return rows + made if len(channels) == rows.shape[1] else rows.index_add(1, channels, made)
