"""A plain ViT's own first heads and channels, run as a narrower ViT: every weight is a leading slice."""

from __future__ import annotations

import copy
import dataclasses

import torch
import torch.nn.functional as F
from timm.layers import Mlp, PatchEmbed
from timm.models.vision_transformer import Block, LayerScale
from torch import Tensor, nn

from dynvit import cost
from dynvit.backbones.vit import PlainViT
from dynvit.errors import InputError
from dynvit.interface import Part


class NestedViT:
    """What a plain ViT computes with its first heads. It owns no weights, and copies none.

    Head j of a narrow ViT is head j of the wide one; norms are over the channels that are there.

    Raises: ``InputError`` that names a backbone whose parts have no narrow form.
    """

    def __init__(self, model: nn.Module, needed_by: str) -> None:
        self.vit = PlainViT(model, needed_by)
        reason = _not_nested(self.vit)
        if reason:
            name = self.vit.model.pretrained_cfg.get("architecture") or type(model).__name__
            raise InputError(
                f"{needed_by} cannot serve backbone {name!r}: {reason}; it takes a plain ViT such as "
                "deit_small_patch16_224, whose every part has a narrow form"
            )
        self.model, self.heads, self.head_dim = self.vit.model, self.vit.shape.heads, self.vit.shape.head_dim

    def width(self, heads: int) -> int:
        """Channels of that many heads."""
        return heads * self.head_dim

    def embed(self, images: Tensor, low: int, high: int) -> Tensor:
        """Channels ``low`` to ``high`` of the embedded image: a wide round computes those that a narrow one has not.

        Shape: images (B, 3, H, W) → tokens (B, 1 + patches, high − low). Units: pixels in [0, 1].
        Raises: ``InputError`` for another image size than the backbone's.
        """
        model, embedding = self.model, self.model.patch_embed
        if images.shape[-2:] != tuple(embedding.img_size):
            raise InputError(
                f"the backbone takes images of {embedding.img_size[0]}×{embedding.img_size[1]} pixels, not "
                f"{images.shape[-2]}×{images.shape[-1]}: set the image size when the backbone is made"
            )
        proj = embedding.proj
        bias = None if proj.bias is None else proj.bias[low:high]
        patches = F.conv2d(self.vit.normalize(images), proj.weight[low:high], bias, stride=proj.stride)
        first = model.cls_token[..., low:high].expand(len(images), -1, -1)
        tokens = torch.cat([first, patches.flatten(2).transpose(1, 2)], dim=1)
        positions = F.pad(model.pos_embed[..., low:high], (0, 0, int(model.no_embed_class), 0))
        return model.pos_drop(tokens + positions)

    def run(self, tokens: Tensor, heads: int) -> Tensor:
        """All blocks with the first ``heads`` heads. Shape: (B, n, width) → the same."""
        for block in self.vit.blocks:
            tokens = block(tokens) if heads == self.heads else narrow_block(block, tokens, heads)
        return tokens

    def norm(self, tokens: Tensor) -> Tensor:
        """The final norm over the channels that are there."""
        return _norm(self.model.norm, tokens)

    def classify(self, normed: Tensor) -> Tensor:
        """The head on a class token after the final norm. Shape: (B, width) → (B, classes)."""
        head = self.model.head
        return F.linear(self.model.head_drop(normed), head.weight[:, : normed.shape[-1]], head.bias)

    def parts(self, heads: int, embedded: int) -> list[Part]:
        """The work of one round, of which ``embedded`` channels of the patch embedding are new."""
        narrow, wide = copy.copy(self.vit), self.vit.shape
        hidden = _hidden(wide.hidden, heads, wide.heads)
        narrow.shape = dataclasses.replace(wide, width=self.width(heads), heads=heads, hidden=hidden)
        n = 1 + wide.patches
        blocks = [part for index in range(wide.depth) for part in narrow.block_parts(index, n)]
        fan_in = wide.channels * wide.patch_size[0] * wide.patch_size[1]
        return [cost.Convolution("patch_embed", wide.patches, fan_in, embedded), *blocks, *narrow.classify_parts(n)]


def narrow_block(block: Block, tokens: Tensor, heads: int) -> Tensor:
    """A block with its first ``heads`` heads, on as many channels as they have. Shape: (B, n, width) → the same."""
    attention, mlp, width = block.attn, block.mlp, tokens.shape[-1]
    tokens = tokens + block.drop_path1(_scaled(block.ls1, _attended(block, _norm(block.norm1, tokens), heads)))
    hidden = _hidden(mlp.fc1.out_features, heads, attention.num_heads)
    inner = mlp.drop1(mlp.act(_linear(mlp.fc1, _norm(block.norm2, tokens), slice(hidden))))
    return tokens + block.drop_path2(_scaled(block.ls2, mlp.drop2(_linear(mlp.fc2, inner, slice(width)))))


def _attended(block: Block, normed: Tensor, heads: int) -> Tensor:
    attention, width = block.attn, normed.shape[-1]
    # Queries, keys and values lie a full width apart: three products read them in place, one would copy them.
    starts = (part * attention.attn_dim for part in range(3))
    three = (_linear(attention.qkv, normed, slice(start, start + width)) for start in starts)
    queries, keys, values = (each.unflatten(-1, (heads, attention.head_dim)).transpose(1, 2) for each in three)
    mixed = F.scaled_dot_product_attention(
        attention.q_norm(queries),
        attention.k_norm(keys),
        values,
        dropout_p=attention.attn_drop.p if attention.training else 0.0,
        scale=attention.scale,
    )
    return attention.proj_drop(_linear(attention.proj, mixed.transpose(1, 2).flatten(2), slice(width)))


def _linear(layer: nn.Linear, tokens: Tensor, rows: slice) -> Tensor:
    """The layer's ``rows`` as outputs, of the inputs that there are."""
    return F.linear(tokens, layer.weight[rows, : tokens.shape[-1]], None if layer.bias is None else layer.bias[rows])


def _norm(norm: nn.LayerNorm, tokens: Tensor) -> Tensor:
    width = tokens.shape[-1]
    bias = None if norm.bias is None else norm.bias[:width]
    return F.layer_norm(tokens, (width,), None if norm.weight is None else norm.weight[:width], bias, norm.eps)


def _scaled(scale: LayerScale | nn.Identity, tokens: Tensor) -> Tensor:
    return tokens * scale.gamma[: tokens.shape[-1]] if isinstance(scale, LayerScale) else tokens


def _hidden(hidden: int, heads: int, all_heads: int) -> int:
    """The MLP's hidden channels, in proportion."""
    return hidden * heads // all_heads


def _not_nested(vit: PlainViT) -> str:
    """Why a plain ViT has no narrow form, or nothing."""
    model, shape = vit.model, vit.shape
    if model.num_prefix_tokens != 1 or model.cls_token is None or model.global_pool != "token":
        return "it does not classify by one class token"
    if type(model.patch_embed) is not PatchEmbed or not isinstance(model.patch_embed.norm, nn.Identity):
        return f"its {type(model.patch_embed).__name__} makes tokens by more than one convolution"
    if model.pos_embed is None:
        return "it has no table of positions"
    for name in ("norm_pre", "fc_norm"):
        if not isinstance(getattr(model, name), nn.Identity):
            return f"it has a further norm, {name}"
    if shape.heads * shape.head_dim != shape.width:
        return f"its {shape.heads} heads of {shape.head_dim} are not its {shape.width} channels"
    for index, block in enumerate(vit.blocks):
        norms = {type(norm).__name__ for norm in (block.norm1, block.norm2) if not isinstance(norm, nn.LayerNorm)}
        if norms or not isinstance(block.attn.norm, nn.Identity) or type(block.mlp) is not Mlp:
            found = ", ".join(sorted(norms)) or f"{type(block.attn.norm).__name__} in attention"
            return f"block {index} has {found if type(block.mlp) is Mlp else type(block.mlp).__name__}"
        if not all(isinstance(scale, LayerScale | nn.Identity) for scale in (block.ls1, block.ls2)):
            return f"block {index} scales its halves by {type(block.ls1).__name__}"
    return "" if isinstance(model.norm, nn.LayerNorm) else f"its final norm is a {type(model.norm).__name__}"
