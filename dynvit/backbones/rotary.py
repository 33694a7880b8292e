"""ViTs with rotary positions, DINOv3 and EVA-02 for two: whole blocks only, for a token's place turns its keys."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from timm.layers import GluMlp, Mlp, PatchEmbed, SwiGLU
from timm.models.eva import Eva, EvaAttention, EvaBlock
from torch import Tensor, nn

from dynvit import cost
from dynvit.backbones.normalize import Normalize
from dynvit.errors import InputError
from dynvit.interface import Part


class RotaryViT:
    """Adapter of timm's ``Eva``. It owns no weights.

    Raises: ``InputError`` that names what in the model is not plain.
    """

    family = Eva

    def __init__(self, model: nn.Module, needed_by: str = "this method") -> None:
        reason = _not_plain(model)
        if reason:
            name = getattr(model, "pretrained_cfg", {}).get("architecture") or type(model).__name__
            raise InputError(
                f"{needed_by} cannot serve backbone {name!r}: {reason}; it takes a plain ViT with rotary positions, "
                "vit_small_patch16_dinov3 for one"
            )
        assert isinstance(model, Eva)
        self.model, self.normalize = model, Normalize.of(model)
        self.grid: tuple[int, int] = tuple(model.patch_embed.grid_size)

    @property
    def blocks(self) -> list[Callable[[Tensor], Tensor]]:
        """The transformer blocks, each with the rotations of the grid's places."""
        model = self.model
        if model.rope is None:
            return list(model.blocks)
        sized = hasattr(model.rope, "feat_shape") and not model.dynamic_img_size
        turns = model.rope.get_embed() if sized else model.rope.get_embed(shape=self.grid)
        each = turns if model.rope_mixed else [turns] * len(model.blocks)
        return [partial(block, rope=turn) for block, turn in zip(model.blocks, each, strict=True)]

    @property
    def block_tokens(self) -> tuple[int, ...]:
        """Tokens that each block processes."""
        return (self._tokens,) * len(self.model.blocks)

    @property
    def _tokens(self) -> int:
        return self.model.num_prefix_tokens + self.grid[0] * self.grid[1]

    def embed(self, images: Tensor) -> Tensor:
        """Shape: images (B, 3, H, W) → tokens (B, n, width). Units: pixels in [0, 1].

        Raises: ``InputError`` for another image size than the backbone's.
        """
        expected = tuple(self.model.patch_embed.img_size)
        if tuple(images.shape[-2:]) != expected:
            raise InputError(
                f"the backbone takes images of {expected[0]}×{expected[1]} pixels, "
                f"not {images.shape[-2]}×{images.shape[-1]}: set the image size when the backbone is made"
            )
        tokens, _ = self.model._pos_embed(self.model.patch_embed(self.normalize(images)))
        return self.model.norm_pre(tokens)

    def classify(self, tokens: Tensor) -> Tensor:
        """Final norm, pooling and head. Shape: tokens (B, n, width) → logits (B, classes)."""
        return self.model.forward_head(self.model.norm(tokens))

    def parts(self) -> list[Part]:
        """The work of the whole backbone on one image; rotations are no matrix products."""
        model, tokens, embedding = self.model, self._tokens, self.model.patch_embed
        fan_in = embedding.proj.in_channels * embedding.patch_size[0] * embedding.patch_size[1]
        patches = self.grid[0] * self.grid[1]
        parts: list[Part] = [cost.Convolution("patch_embed", patches, fan_in, model.embed_dim)]
        for index, block in enumerate(model.blocks):
            parts += _block_parts(f"blocks.{index}", block, tokens, model.embed_dim)
        head = cost.Linear("head", 1, model.head.in_features, model.head.out_features)
        return [*parts, cost.Normalization("norm", tokens * model.embed_dim), head]


def _block_parts(name: str, block: Any, tokens: int, width: int) -> list[Part]:
    attention, mlp = block.attn, block.mlp
    inner = attention.num_heads * attention.head_dim
    first = 2 * mlp.fc1_g.out_features if isinstance(mlp, SwiGLU) else mlp.fc1.out_features
    return [
        cost.Normalization(f"{name}.norm1", tokens * width),
        cost.Linear(f"{name}.attn.qkv", tokens, width, 3 * inner),
        cost.Attention(f"{name}.attn", tokens, tokens, attention.num_heads, attention.head_dim),
        cost.Linear(f"{name}.attn.proj", tokens, inner, width),
        cost.Normalization(f"{name}.norm2", tokens * width),
        cost.Linear(f"{name}.mlp.fc1", tokens, width, first),
        cost.Linear(f"{name}.mlp.fc2", tokens, mlp.fc2.in_features, width),
    ]


def _not_plain(model: nn.Module) -> str:
    if not isinstance(model, Eva):
        return f"it is a {type(model).__name__}, not a timm Eva"
    if model.attn_pool is not None or model.global_pool not in ("token", "avg"):
        return f"it pools by {model.global_pool!r}"
    if not isinstance(model.patch_embed, PatchEmbed) or not isinstance(model.head, nn.Linear):
        return "its patch embedding or head is not the plain one"
    for index, block in enumerate(model.blocks):
        if type(block) is not EvaBlock or type(block.attn) is not EvaAttention or block.attn.gate is not None:
            return f"block {index} is a {type(block).__name__} with {type(block.attn).__name__}, gated or otherwise"
        if type(block.mlp) not in (Mlp, GluMlp, SwiGLU):
            return f"block {index} has a {type(block.mlp).__name__}"
    return ""
