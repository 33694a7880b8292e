"""A plain block under masks (Eq. 4), differentiable and dense in shape. Tensors and a timm block in, tensors out.

A block has C channels in H groups, one a head, and hidden units of its MLP in H groups too. Dropping a head drops its
part of the attention and its group in the input, the middle and the output of the MLP. What is dropped stays on the
residual stream.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from dynvit.ops.attention import masked_attention

from .gates import Masks
from .options import AttentionChannels, NormForm


@dataclass(frozen=True)
class BlockForm:
    """Which interpretation of the paper a block computes (options of the same names), and which masks may differ from
    1.

    Masks that are 1 everywhere are not multiplied.
    """

    norm: NormForm = "unmasked"
    channels: AttentionChannels = "all"
    heads: bool = True
    tokens: bool = True


def masked_block(block: Block, tokens: Tensor, masks: Masks, form: BlockForm) -> Tensor:
    """Both halves of a block with a class token, which is always kept.

    Shape: tokens (B, 1 + N, C), masks of B images, H heads and N tokens → (B, 1 + N, C).
    """
    attention, batch, runs = block.attn, len(tokens), masks.runs(class_token=True)[:, None, None]
    policy = F.pad(masks.tokens, (1, 0), value=1.0)
    channels = spread(masks.heads, tokens.shape[-1]) if form.heads else None
    seen = channels if form.channels == "kept" else None

    normed = masked_norm(block.norm1, tokens, seen, form.norm)
    qkv = attention.qkv(normed).reshape(batch, -1, 3, attention.num_heads, attention.head_dim)
    queries, keys, values = qkv.permute(2, 0, 3, 1, 4).unbind(0)
    queries, keys = attention.q_norm(queries), attention.k_norm(keys)
    if form.tokens:
        mixed = masked_attention(queries, keys, values, policy, attention.scale)
    else:
        mixed = F.scaled_dot_product_attention(queries, keys, values, scale=attention.scale)
    made = F.linear((mixed * kept_heads(masks)).to(tokens.dtype).transpose(1, 2).flatten(2), attention.proj.weight)
    if attention.proj.bias is not None:
        made = made + runs * attention.proj.bias
    made = block.drop_path1(block.ls1(attention.proj_drop(made)))
    made = made if seen is None else made * seen
    tokens = tokens + (made * policy.unsqueeze(-1) if form.tokens else made)

    written = runs * policy.unsqueeze(-1) if form.tokens else runs
    mlp = block.mlp
    hidden = mlp.act(mlp.fc1(masked_norm(block.norm2, tokens, channels, form.norm)))
    if form.heads:
        hidden = hidden * spread(masks.heads, hidden.shape[-1])
    made = block.ls2(mlp.drop2(mlp.fc2(mlp.drop1(hidden))))
    return tokens + block.drop_path2(made) * (written if channels is None else written * channels)


def kept_heads(masks: Masks) -> Tensor:
    """The factor of each head's attention, D_b · D_h.

    The block's own mask is not a factor: otherwise a dropped head would get no gradient from a block that is skipped
    because it has no heads. The depth gradient of a skipped block that keeps no head is that of the whole block.

    Shape: (B, H, 1, 1).
    """
    empty = (1 - masks.depth.detach()) * (1 - masks.heads.detach()).prod(1)
    return (masks.depth[:, None] * (masks.heads + empty[:, None]))[:, :, None, None]


def spread(heads: Tensor, width: int) -> Tensor:
    """A head's mask on each of its channels. Shape: (B, H) → (B, 1, width)."""
    return heads.repeat_interleave(width // heads.shape[1], dim=1).unsqueeze(1)


def masked_norm(norm: nn.Module, tokens: Tensor, channels: Tensor | None, form: NormForm) -> Tensor:
    """LayerNorm of a half that reads some channels, 0 in the others; ``channels`` None for one that reads all.

    Shape: tokens (B, n, C), channels (B, 1, C) → (B, n, C).
    """
    if channels is None:
        return norm(tokens)
    if form == "unmasked":
        return norm(tokens) * channels
    if form == "masked":
        return norm(tokens * channels) * channels
    assert isinstance(norm, nn.LayerNorm)
    count = channels.sum(-1, keepdim=True).clamp(min=1)
    centred = tokens - (tokens * channels).sum(-1, keepdim=True) / count
    variance = (centred.square() * channels).sum(-1, keepdim=True) / count
    return (centred * torch.rsqrt(variance + norm.eps) * norm.weight + norm.bias) * channels
