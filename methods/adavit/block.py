"""A plain block of which heads, tokens and halves are dropped: masked, dense in shape, and executed.

Dropping a head drops it from the attention and its channels from the MLP's input, as in the public code; the biases
stay. A half that is off, and a token that is dropped, adds nothing.
"""

from __future__ import annotations

import torch.nn.functional as F
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from dynvit.backbones.block import attention_inputs
from dynvit.backbones.packed import head_outputs
from dynvit.ops.attention import masked_attention
from dynvit.ops.packing import Pack, columns, packs, part

from .masks import Masks


def masked_block(block: Block, tokens: Tensor, masks: Masks, attention_gradient: bool) -> Tensor:
    """Both halves, differentiable in the masks.

    Shape: tokens (B, 1 + N, C), masks of B images → (B, 1 + N, C).
    """
    attention, mlp, width = block.attn, block.mlp, tokens.shape[-1]
    policy = F.pad(masks.tokens, (1, 0), value=1.0)
    seen = policy if attention_gradient else policy.detach()
    attends, thinks = (masks.layers[:, half, None, None] * policy.unsqueeze(-1) for half in range(2))

    mixed = masked_attention(*attention_inputs(block, tokens), seen, attention.scale) * masks.heads[:, :, None, None]
    made = attention.proj(mixed.to(tokens.dtype).transpose(1, 2).flatten(2))
    tokens = tokens + block.drop_path1(block.ls1(attention.proj_drop(made))) * attends

    channels = masks.heads.repeat_interleave(width // masks.heads.shape[1], dim=1).unsqueeze(1)
    return tokens + block.drop_path2(block.ls2(mlp(block.norm2(tokens) * channels))) * thinks


def packed_block(block: Block, tokens: Tensor, masks: Masks) -> Tensor:
    """The same block without computing what is masked: images of one head set share matrix products. Writes to
    ``tokens``.

    Shape: tokens (B, 1 + N, C), masks bool → (B, 1 + N, C).
    """
    stream, policy = tokens.view(-1, tokens.shape[-1]), F.pad(masks.tokens, (1, 0), value=True)
    for half, made in enumerate((_attended, _thought)):
        for pack in packs(masks.layers[:, half], masks.heads, policy):
            stream.index_add_(0, pack.rows, made(block, stream.index_select(0, pack.rows), pack))
    return tokens


def _attended(block: Block, rows: Tensor, pack: Pack) -> Tensor:
    """What the attention half adds. Shape: (n, C) → (n, C)."""
    attention, every = block.attn, tuple(range(block.attn.num_heads))
    if not pack.heads:
        return block.ls1(_bias(attention.proj, rows))
    mixed = head_outputs(block, block.norm1(rows), pack, every)
    weight = part(attention.proj.weight, len(every), every, pack.heads)
    return block.ls1(F.linear(mixed, weight, attention.proj.bias))


def _thought(block: Block, rows: Tensor, pack: Pack) -> Tensor:
    """What the MLP half adds. Shape: (n, C) → (n, C)."""
    mlp, groups = block.mlp, block.attn.num_heads
    if not pack.heads:
        hidden = _bias(mlp.fc1, rows)
    else:
        weight = mlp.fc1.weight.unflatten(1, (groups, -1))[:, list(pack.heads)].flatten(1)
        hidden = F.linear(columns(block.norm2(rows), groups, pack.heads), weight, mlp.fc1.bias)
    return block.ls2(mlp.fc2(mlp.act(hidden)))


def _bias(layer: nn.Linear, rows: Tensor) -> Tensor:
    """A layer's output where all of its input is dropped. Shape: (n, …) → (n, out)."""
    nothing = rows.new_zeros(len(rows), layer.out_features)
    return nothing if layer.bias is None else nothing + layer.bias
