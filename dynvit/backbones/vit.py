"""What a method may rely on in a plain timm ViT: embed, blocks, classify, and the cost of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from timm.layers import Attention, DropPath, GluMlp, PatchEmbed, resample_abs_pos_embed
from timm.models.deit import VisionTransformerDistilled
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from dynvit import cost
from dynvit.backbones.normalize import Normalize
from dynvit.backbones.t2t import TokensToToken
from dynvit.backbones.traits import unserved
from dynvit.errors import InputError
from dynvit.interface import EVERY_TRAIT, Part, Trait, Usage
from dynvit.ops.upload import uploaded

NOTHING: Mapping[int, Sequence[Part]] = {}


@dataclass(frozen=True)
class ViTShape:
    """The sizes of a plain ViT. ``patches`` is rows·columns of ``grid``; before them are ``prefix`` tokens: the class
    token where there is one, a distillation token, registers. A ``gated`` MLP halves its hidden units.
    """

    width: int
    depth: int
    heads: int
    head_dim: int
    hidden: int
    grid: tuple[int, int]
    patch_size: tuple[int, int]
    channels: int
    classes: int
    prefix: int = 1
    gated: bool = False

    @property
    def patches(self) -> int:
        """Patch tokens of one image."""
        return self.grid[0] * self.grid[1]

    @property
    def tokens(self) -> int:
        """Tokens of one image."""
        return self.prefix + self.patches


class PlainViT:
    """Adapter of a timm ViT of plain blocks, such as DeiT. It owns no weights.

    ``tokens = vit.embed(images)``; each of ``vit.blocks`` on the tokens; ``vit.classify(tokens)``. Together these
    equal the backbone on normalised images.

    Raises: ``InputError`` that names what in the model is not plain: a method that ignores it would be silently wrong.
    Plain is one class token that the head reads; ``serves`` says what else the caller serves. ``takes`` is what the
    message says is supported, for callers that support other families too.
    """

    def __init__(
        self,
        model: nn.Module,
        needed_by: str = "this method",
        takes: str = "a plain timm ViT with a class token",
        serves: frozenset[Trait] = frozenset(),
    ) -> None:
        reason = unserved(model, serves)
        if reason:
            name = getattr(model, "pretrained_cfg", {}).get("architecture") or type(model).__name__
            raise InputError(
                f"{needed_by} cannot serve backbone {name!r}: {reason}; it takes {takes}, deit_tiny_patch16_224 for one"
            )
        assert isinstance(model, VisionTransformer)
        self.model = model
        self.normalize = Normalize.of(model)
        attention: Attention = model.blocks[0].attn
        self.shape = ViTShape(
            width=model.embed_dim,
            depth=len(model.blocks),
            heads=attention.num_heads,
            head_dim=attention.head_dim,
            hidden=model.blocks[0].mlp.fc1.out_features,
            grid=tuple(model.patch_embed.grid_size),
            patch_size=tuple(model.patch_embed.patch_size),
            channels=model.in_chans,
            classes=model.num_classes,
            prefix=model.num_prefix_tokens,
            gated=isinstance(model.blocks[0].mlp, GluMlp),
        )

    @property
    def blocks(self) -> nn.ModuleList:
        """The transformer blocks, called as ``block(tokens)``."""
        return self.model.blocks

    @property
    def block_tokens(self) -> tuple[int, ...]:
        """Tokens that each block processes, prefix tokens among them, where all of it runs."""
        return (self.shape.tokens,) * self.shape.depth

    def embed(self, images: Tensor) -> Tensor:
        """Normalise, embed patches, add prefix tokens and positions.

        Shape: images (B, 3, H, W) → tokens (B, prefix + patches, width), the class token first where there is one.
        Units: pixels in [0, 1]. Raises: ``InputError`` for another image size than the backbone's.
        """
        expected = tuple(self.model.patch_embed.img_size)
        if tuple(images.shape[-2:]) != expected:
            raise InputError(
                f"the backbone takes images of {expected[0]}×{expected[1]} pixels, "
                f"not {images.shape[-2]}×{images.shape[-1]}: set the image size when the backbone is made"
            )
        tokens = self.model._pos_embed(self.model.patch_embed(self.normalize(images)))
        return self.model.norm_pre(tokens)

    def embed_at(self, images: Tensor, grid: tuple[int, int]) -> Tensor:
        """``embed`` at another size: images are resized to ``grid`` patches, positions are interpolated, both bicubic.

        Shape: images (B, 3, H, W) → tokens (B, prefix + rows·columns, width). Units: pixels in [0, 1].
        Raises: ``InputError`` where the patch embedding is for one size.
        """
        if grid == self.shape.grid:
            return self.embed(images)
        model, embedding = self.model, self.model.patch_embed
        if not isinstance(embedding, PatchEmbed):
            raise InputError(
                f"a {type(embedding).__name__} takes images of one size only: take a plain patch embedding"
            )
        size = tuple(patches * pixels for patches, pixels in zip(grid, self.shape.patch_size, strict=True))
        smaller = F.interpolate(images, size=size, mode="bicubic", antialias=True)
        patches = embedding.norm(embedding.proj(self.normalize(smaller)).flatten(2).transpose(1, 2))
        before = [getattr(model, name, None) for name in ("cls_token", "dist_token", "reg_token")]
        prefix = [tokens.expand(len(images), -1, -1) for tokens in before if tokens is not None]
        tokens = torch.cat([*prefix, patches], dim=1)
        if model.pos_embed is not None:
            known = 0 if model.no_embed_class else self.shape.prefix
            positions = resample_abs_pos_embed(
                model.pos_embed, list(grid), list(self.shape.grid), num_prefix_tokens=known
            )
            tokens = tokens + F.pad(positions, (0, 0, self.shape.prefix - known, 0))
        return model.norm_pre(model.pos_drop(tokens))

    def classify(self, tokens: Tensor, sizes: Tensor | None = None) -> Tensor:
        """Final norm, pooling and head. Where patches are pooled, one of size s counts as s of them.

        Shape: tokens (B, n, width), prefix tokens first, sizes (B, n) → logits (B, classes).
        """
        model, prefix = self.model, self.shape.prefix
        if model.global_pool == "token":
            if not isinstance(model, VisionTransformerDistilled):
                return model.head(model.head_drop(model.fc_norm(model.norm(tokens[:, 0]))))
            first = model.norm(tokens[:, :2])
            return (model.head(model.head_drop(first[:, 0])) + model.head_dist(model.head_drop(first[:, 1]))) / 2
        normed = model.norm(tokens)
        if model.attn_pool is not None and model.pool_include_prefix:
            prefix = 0
        pooled, own = normed[:, prefix:], None if sizes is None else sizes[:, prefix:]
        if model.attn_pool is not None:
            read = model.attn_pool(pooled, None if own is None else own.log().to(pooled.dtype)[:, None, None])
        elif own is None:
            read = pooled.mean(1)
        else:
            read = (pooled * own.unsqueeze(-1)).sum(1) / own.sum(1, keepdim=True)
        return model.head(model.head_drop(model.fc_norm(read)))

    def embed_parts(self, patches: int | None = None) -> list[Part]:
        """The work of ``embed``, or of ``embed_at`` with as many ``patches``."""
        if isinstance(self.model.patch_embed, TokensToToken):
            return self.model.patch_embed.parts()
        shape = self.shape
        fan_in = shape.channels * shape.patch_size[0] * shape.patch_size[1]
        return [cost.Convolution("patch_embed", shape.patches if patches is None else patches, fan_in, shape.width)]

    def block_parts(self, index: int, tokens: cost.Count, mlp_tokens: cost.Count | None = None) -> list[Part]:
        """The work of one whole block on ``tokens`` tokens, of which ``mlp_tokens`` (default all) enter the MLP."""
        after = tokens if mlp_tokens is None else mlp_tokens
        return [*self.attention_parts(index, tokens), *self.mlp_parts(index, after)]

    def attention_parts(self, index: int, tokens: cost.Count) -> list[Part]:
        """The work of a block's attention half on ``tokens`` tokens."""
        s, name = self.shape, f"blocks.{index}"
        inner = s.heads * s.head_dim
        return [
            cost.Normalization(f"{name}.norm1", tokens * s.width),
            cost.Linear(f"{name}.attn.qkv", tokens, s.width, 3 * inner),
            cost.Attention(f"{name}.attn", tokens, tokens, s.heads, s.head_dim),
            cost.Linear(f"{name}.attn.proj", tokens, inner, s.width),
        ]

    def mlp_parts(self, index: int, tokens: cost.Count) -> list[Part]:
        """The work of a block's MLP half on ``tokens`` tokens."""
        s, name = self.shape, f"blocks.{index}"
        return [
            cost.Normalization(f"{name}.norm2", tokens * s.width),
            cost.Linear(f"{name}.mlp.fc1", tokens, s.width, s.hidden),
            cost.Linear(f"{name}.mlp.fc2", tokens, s.hidden // 2 if s.gated else s.hidden, s.width),
        ]

    def classify_parts(self, tokens: cost.Count = 1) -> list[Part]:
        """The work of ``classify``; fvcore's rule sees the norm on as many tokens as the reference norms."""
        s = self.shape
        norm, head = cost.Normalization("norm", tokens * s.width), cost.Linear("head", 1, s.width, s.classes)
        if isinstance(self.model, VisionTransformerDistilled):
            return [norm, head, cost.Linear("head_dist", 1, s.width, s.classes)]
        if self.model.attn_pool is None:
            return [norm, head]
        pool = self.model.attn_pool
        seen = tokens if self.model.pool_include_prefix else tokens - s.prefix
        inner, hidden, asked = pool.num_heads * pool.head_dim, pool.mlp.fc1.out_features, pool.latent_len
        return [
            norm,
            cost.Linear("attn_pool.q", asked, pool.latent_dim, inner),
            cost.Linear("attn_pool.kv", seen, s.width, 2 * inner),
            cost.Attention("attn_pool", asked, seen, pool.num_heads, pool.head_dim),
            cost.Linear("attn_pool.proj", asked, inner, pool.out_features),
            cost.Linear("attn_pool.mlp", 2 * asked, pool.out_features, hidden),
            head,
        ]

    def usage(
        self,
        images: Tensor,
        tokens: Sequence[cost.Count],
        mlp_tokens: Sequence[cost.Count] | None = None,
        extra: Sequence[Part] = (),
        attention: Mapping[int, Sequence[Part]] = NOTHING,
    ) -> Usage:
        """The ledger: what ran, from the tokens that each block processed.

        Args:
            images: the batch, for its length and device.
            tokens: those that enter each block, the class token among them; a number, or one for each image.
            mlp_tokens: those that enter each block's MLP, where attention and MLP differ. Default: ``tokens``.
            extra: what ran besides blocks, patch embedding and head: predictors, matchings.
            attention: by block, the attention halves that ran otherwise than whole.

        Returns: the usage, with ``tokens`` said for each block and image.
        """
        after = tokens if mlp_tokens is None else mlp_tokens
        blocks = list[Part]()
        for index, (n, m) in enumerate(zip(tokens, after, strict=True)):
            blocks += attention.get(index) or self.attention_parts(index, n)
            blocks += self.mlp_parts(index, m)
        parts = (*self.embed_parts(), *blocks, *extra, *self.classify_parts(after[-1]))
        alike = [n for n in tokens if not isinstance(n, Tensor)]
        if len(alike) == len(tokens):
            said = uploaded(alike, images.device).expand(len(images), -1)
        else:
            each = (n if isinstance(n, Tensor) else torch.full((), n, device=images.device) for n in tokens)
            said = torch.stack([n.expand(len(images)) for n in each], dim=1)
        return Usage(len(images), parts, tokens=said)

    def parts(self) -> list[Part]:
        """The work of the whole backbone on one image."""
        tokens = self.shape.tokens
        blocks = [part for index in range(self.shape.depth) for part in self.block_parts(index, tokens)]
        return [*self.embed_parts(), *blocks, *self.classify_parts(tokens)]


def set_drop_path(model: nn.Module, rate: float) -> None:
    """Stochastic depth (Huang et al., 2016) in a plain ViT, rising linearly from 0 in the first block to ``rate`` in
    the last; 0 leaves the model's own. It has no weights, and acts in training only.
    """
    if rate == 0:
        return
    blocks = PlainViT(model, serves=EVERY_TRAIT).blocks
    for index, block in enumerate(blocks):
        share = rate * index / max(len(blocks) - 1, 1)
        block.drop_path1, block.drop_path2 = DropPath(share), DropPath(share)
