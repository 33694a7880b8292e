"""One exit of the cascade: a whole transformer that may reuse features and relations of the exit before it."""

from __future__ import annotations

from math import ceil
from typing import Any

import torch
import torch.nn.functional as F
from timm.layers import trunc_normal_
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn

from dynvit import cost
from dynvit.backbones.block import attention_inputs, attention_output
from dynvit.backbones.class_row import class_row_inputs, class_row_parts
from dynvit.backbones.vit import PlainViT
from dynvit.interface import Part

from .options import DVTOptions
from .reuse import FeatureReuse, Handed, RelationReuse

PORTION_BYTES = 1 << 24
"""The largest tensor of an exit's portion of a batch on a CPU; glibc allocates up to twice that on its heap."""


class Exit(nn.Module):
    """A transformer on its own grid, with the reuse of the exit before it.

    ``upstream`` is that exit's grid, 0 for the first exit; ``last`` means that only this exit's head reads its tokens,
    so that its last block needs the class token's row only.
    """

    def __init__(self, vit: VisionTransformer, upstream: int, last: bool, options: DVTOptions) -> None:
        super().__init__()
        self.vit = vit
        self.adapter = PlainViT(vit, needed_by="method dvt")
        shape, self.grid = self.adapter.shape, self.adapter.shape.grid[0]
        self.class_only = last and options.last_block == "class"
        self.hands_features = not last and options.feature_reuse != "off"
        self.hands_relations = not last and options.relation_reuse != "off"
        self.options = options
        self.features = self.relations = None
        if upstream and options.feature_reuse != "off":
            self.features = FeatureReuse(shape, upstream, self.grid, options, vit.norm.eps)
            for block in vit.blocks[: self.features.blocks]:
                _widen(block, options.feature_width)
        if upstream and options.relation_reuse != "off":
            self.relations = RelationReuse(shape, upstream, self.grid, options)

    def forward(self, images: Tensor, handed: Handed) -> tuple[Tensor, Handed]:
        """Logits, and what the next exit may reuse.

        Shape: images (B, 3, H, W) → logits (B, classes).
        """
        tokens = self.adapter.embed(images)
        depth, options = self.adapter.shape.depth, self.options
        features = self.features(handed, self._feature_blocks()) if self.features is not None else ()
        relations = self.relations(handed) if self.relations is not None else None
        outputs: list[Tensor] = []
        records: list[Tensor] = []
        for index, block in enumerate(self.adapter.blocks):
            final = index == depth - 1
            class_only = final and self.class_only
            bias = None
            if relations is not None and self.relations is not None:
                bias = self.relations.grow(relations[index], class_only)
            record = self.hands_relations and (final or options.relation_reuse != "final_layer")
            tokens, record_of = attend(block, tokens, bias, record, class_only)
            extra = features[index][:, : tokens.shape[1]] if index < len(features) else None
            tokens = reuse_mlp(block, tokens, extra)
            if record_of is not None:
                records.append(record_of)
            if self.hands_features and (final or options.feature_reuse == "layerwise"):
                outputs.append(tokens)
        return self.adapter.classify(tokens), Handed(tuple(outputs), tuple(records))

    def predict(self, images: Tensor, handed: Handed) -> tuple[Tensor, Handed]:
        """``forward`` without gradients; on a CPU a few images at a time.

        Tensors that hold something for all blocks at once (the small relation maps, the resized features) are so large
        that the C library maps and unmaps their pages for every batch. That took a quarter of the last exit's time, and
        more threads do not help.

        Shape: images (B, 3, H, W) → logits (B, classes).
        """
        size = self._portion(images)
        if images.device.type != "cpu" or len(images) <= size:
            return self(images, handed)
        portions = images.split(size)
        outputs = [self(*pair) for pair in zip(portions, handed.split(size, len(portions)), strict=True)]
        return torch.cat([logits for logits, _ in outputs]), Handed.joined([after for _, after in outputs])

    def _portion(self, images: Tensor) -> int:
        """Images of a portion of the batch: equal portions, with no tensor above ``PORTION_BYTES``."""
        s, n, numbers = self.adapter.shape, 1 + self.grid**2, [0]
        if self.relations is not None:
            numbers.append(s.heads * s.depth * (1 + self.relations.old**2) ** 2)
        if self.features is not None:
            numbers.append(self._feature_blocks() * n * self.options.feature_width)
        fit = max(1, PORTION_BYTES // max(1, max(numbers) * images.element_size()))
        return ceil(len(images) / ceil(len(images) / fit))

    def parts(self) -> list[Part]:
        """The work of one image, as ``dynvit.cost`` counts it."""
        s, n = self.adapter.shape, 1 + self.grid**2
        parts: list[Part] = list(self.adapter.embed_parts())
        if self.features is not None:
            parts += self.features.parts(self._feature_blocks())
        if self.relations is not None:
            parts += self.relations.parts(self.class_only)
        for index in range(s.depth):
            class_only = self.class_only and index == s.depth - 1
            queries = 1 if class_only else n
            parts += class_row_parts(self.adapter, index) if class_only else self.adapter.block_parts(index, n)
            if self.features is not None and index < self.features.blocks:
                parts += [
                    cost.Normalization(f"blocks.{index}.norm2.reused", queries * self.options.feature_width),
                    cost.Linear(f"blocks.{index}.mlp.fc1.reused", queries, self.options.feature_width, s.hidden),
                ]
        return parts + self.adapter.classify_parts(1 if self.class_only else n)

    def _feature_blocks(self) -> int:
        """The blocks that get features: the class token alone gets zeros, so a class-only block needs none."""
        spare = self.class_only and self.options.feature_reuse != "class_token"
        return self.adapter.shape.depth - spare


def attend(
    block: Block, tokens: Tensor, bias: Tensor | None, record: bool, class_only: bool
) -> tuple[Tensor, Tensor | None]:
    """The attention half of a block, ``bias`` added to its logits; with ``record`` also the logits themselves.

    Shape: tokens (B, n, width), bias (B, heads, n, n) → tokens, logits (B, heads, n, n). With ``class_only`` the
    bias and the results have the class token's row only.
    """
    queries, keys, values = class_row_inputs(block, tokens) if class_only else attention_inputs(block, tokens)
    residual = tokens[:, :1] if class_only else tokens
    dropout = block.attn.attn_drop.p if block.training else 0.0
    if not record:
        mixed = F.scaled_dot_product_attention(queries, keys, values, attn_mask=bias, dropout_p=dropout)
        return attention_output(block, residual, mixed), None
    if bias is None:
        logits = queries * block.attn.scale @ keys.mT
    else:
        flat = [t.flatten(0, 1) for t in (bias, queries, keys)]
        logits = torch.baddbmm(flat[0], flat[1], flat[2].mT, alpha=block.attn.scale).view_as(bias)
    mixed = F.dropout(logits.softmax(-1), dropout) @ values
    return attention_output(block, residual, mixed), logits


def reuse_mlp(block: Block, tokens: Tensor, features: Tensor | None) -> Tensor:
    """The MLP half of a block, which reads reused features beside its own tokens; the residual is its own.

    Shape: tokens (B, n, width), features (B, n, extra), None where the block is not widened or all are zero.
    """
    extra = block.norm2.normalized_shape[0] - tokens.shape[-1]
    if features is not None:
        joined = torch.cat([tokens, features], -1)
    else:
        joined = F.pad(tokens, (0, extra)) if extra else tokens
    return tokens + block.drop_path2(block.ls2(block.mlp(block.norm2(joined))))


def _widen(block: Block, extra: int) -> None:
    """Let the block's MLP read ``extra`` more channels; its own weights stay."""
    norm, fc1 = block.norm2, block.mlp.fc1
    width, like = fc1.in_features, {"device": fc1.weight.device, "dtype": fc1.weight.dtype}
    kind: Any = type(norm)
    wide_norm = kind(width + extra, eps=norm.eps, **like)
    wide = nn.Linear(width + extra, fc1.out_features, bias=fc1.bias is not None, **like)
    with torch.no_grad():
        wide_norm.weight[:width] = norm.weight
        wide_norm.bias[:width] = norm.bias
        trunc_normal_(wide.weight, std=0.02)
        wide.weight[:, :width] = fc1.weight
        if fc1.bias is not None:
            wide.bias.copy_(fc1.bias)
    block.norm2, block.mlp.fc1 = wide_norm, wide
