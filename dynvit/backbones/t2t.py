"""T2T-ViT-12 and T2T-ViT-14 (arXiv 2101.11986), registered with timm.

A plain ViT behind a tokeniser that splits the map of tokens three times, with Performer attention in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from timm.layers import trunc_normal_
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from dynvit import cost
from dynvit.errors import InputError
from dynvit.interface import Part
from dynvit.ops.performer import linear_attention, orthogonal_features

TOKEN_WIDTH = 64
RANDOM_FEATURES = 32


@dataclass(frozen=True)
class SoftSplit:
    """The tokeniser's first split of the image; the two later splits are always 3, 2, 1. Units: pixels."""

    kernel: int = 7
    stride: int = 4
    padding: int = 2

    def grids(self, image_size: Sequence[int]) -> tuple[tuple[int, int], ...]:
        """The maps of tokens after each of the three splits; a size of 0 where the image is too small.

        >>> SoftSplit().grids((224, 224))
        ((56, 56), (28, 28), (14, 14))
        """
        maps = [tuple(max(0, (n + 2 * self.padding - self.kernel) // self.stride + 1) for n in image_size)]
        maps += [tuple((n + 1) // 2 for n in maps[-1])]
        maps += [tuple((n + 1) // 2 for n in maps[-1])]
        return tuple((rows, columns) for rows, columns in maps)


class TokenPerformer(nn.Module):
    """One attention over the pixels of a patch's neighbourhood, at width 64, and a small MLP.

    The skip goes around the projection from the values, because the width changes on the way in.

    Shape: (B, n, width) → (B, n, 64). Source: T2T-ViT §3.1; official code yitu-opensource/T2T-ViT.
    """

    w: Tensor

    def __init__(self, width: int, dropout: float = 0.1) -> None:
        super().__init__()
        out = TOKEN_WIDTH
        self.kqv = nn.Linear(width, 3 * out)
        self.proj = nn.Linear(out, out)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(out)
        self.mlp = nn.Sequential(nn.Linear(out, out), nn.GELU(), nn.Linear(out, out), nn.Dropout(dropout))
        self.drop = nn.Dropout(dropout)
        # Never trained, but part of the weights: another draw gives another model.
        self.register_buffer("w", orthogonal_features(RANDOM_FEATURES, out))

    def forward(self, tokens: Tensor) -> Tensor:
        """Shape: (B, n, width) → (B, n, 64)."""
        keys, queries, values = self.kqv(self.norm1(tokens)).chunk(3, -1)
        tokens = values + self.drop(self.proj(linear_attention(queries, keys, values, self.w)))
        return tokens + self.mlp(self.norm2(tokens))

    def parts(self, name: str, n: int) -> list[Part]:
        """The work on ``n`` tokens, as ``dynvit.cost`` counts it."""
        width, out, m = self.kqv.in_features, TOKEN_WIDTH, RANDOM_FEATURES
        return [
            cost.Normalization(f"{name}.norm1", n * width),
            cost.Linear(f"{name}.kqv", n, width, 3 * out),
            cost.Linear(f"{name}.features", 2 * n, out, m),
            cost.Linear(f"{name}.normaliser", n, m, 1),
            cost.Linear(f"{name}.attention", 2 * n, m, out),
            cost.Linear(f"{name}.proj", n, out, out),
            cost.Normalization(f"{name}.norm2", n * out),
            cost.Linear(f"{name}.mlp", 2 * n, out, out),
        ]


class TokensToToken(nn.Module):
    """Cut, attend, cut, attend, cut, project: from an image to a grid of tokens.

    It stands where timm has ``PatchEmbed``. Shape: (B, C, H, W) → (B, rows·columns, width).
    """

    def __init__(
        self,
        img_size: int | tuple[int, int] = 224,
        patch_size: int | tuple[int, int] = 16,
        in_chans: int = 3,
        embed_dim: int = 768,
        split: SoftSplit = SoftSplit(),
        **_ignored: object,
    ) -> None:
        super().__init__()
        self.split, self.in_chans, self.embed_dim = split, in_chans, embed_dim
        self.patch_size = (4 * split.stride, 4 * split.stride)
        self.img_size = img_size if isinstance(img_size, tuple) else (img_size, img_size)
        self.maps = split.grids(self.img_size)
        self.grid_size = self.maps[-1]
        self.num_patches = self.grid_size[0] * self.grid_size[1]
        if self.num_patches == 0:
            raise InputError(
                f"T2T-ViT cannot cut an image of {self.img_size[0]}×{self.img_size[1]} pixels: "
                f"its first cut is {split.kernel} pixels wide; take a larger image"
            )
        self.attention1 = TokenPerformer(in_chans * split.kernel**2)
        self.attention2 = TokenPerformer(TOKEN_WIDTH * 9)
        self.project = nn.Linear(TOKEN_WIDTH * 9, embed_dim)

    def feat_ratio(self, as_scalar: bool = True) -> int | tuple[int, int]:
        """Pixels by token, along each axis."""
        return max(self.patch_size) if as_scalar else self.patch_size

    def forward(self, images: Tensor) -> Tensor:
        """Shape: (B, C, H, W) → (B, rows·columns, width)."""
        s = self.split
        tokens = F.unfold(images, s.kernel, stride=s.stride, padding=s.padding).transpose(1, 2)
        for attention, (rows, columns) in ((self.attention1, self.maps[0]), (self.attention2, self.maps[1])):
            grid = attention(tokens).transpose(1, 2).unflatten(2, (rows, columns))
            tokens = F.unfold(grid, 3, stride=2, padding=1).transpose(1, 2)
        return self.project(tokens)

    def parts(self) -> list[Part]:
        """The work of one image, as ``dynvit.cost`` counts it."""
        first, second = (rows * columns for rows, columns in self.maps[:2])
        return [
            *self.attention1.parts("patch_embed.attention1", first),
            *self.attention2.parts("patch_embed.attention2", second),
            cost.Linear("patch_embed.project", self.num_patches, TOKEN_WIDTH * 9, self.embed_dim),
        ]


def sinusoid_table(positions: int, width: int) -> Tensor:
    """Fixed position table, rounded to float32 as the published weights have it.

    Column 2i is sin(p / 10000^(2i/width)), column 2i + 1 its cosine. Shape: (1, positions, width).

    >>> sinusoid_table(2, 4)[0, 1]
    tensor([0.8415, 0.5403, 0.0100, 0.9999])
    """
    rates = 10000 ** (-2 * (torch.arange(width, dtype=torch.float64) // 2) / width)
    angles = torch.arange(positions, dtype=torch.float64)[:, None] * rates
    even = torch.arange(width) % 2 == 0
    return torch.where(even, angles.sin(), angles.cos()).float()[None]


class T2TViT(VisionTransformer):
    """A timm ``VisionTransformer`` with the T2T tokeniser and a fixed sinusoid position table.

    ``split`` is the tokeniser's first cut; the other arguments are timm's.
    """

    def __init__(self, *, split: SoftSplit | None = None, **timm_arguments: Any) -> None:
        embed = partial(TokensToToken, split=split or SoftSplit())
        super().__init__(embed_layer=embed, weight_init="skip", **timm_arguments)
        self.init_weights()

    def init_weights(self, mode: str = "", needs_reset: bool = True) -> None:
        """Initialise the weights as the official code does: linear layers by a truncated normal of 0.02."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, nn.LayerNorm):
                module.reset_parameters()
        trunc_normal_(self.cls_token, std=0.02)
        self._set_table()

    def set_input_size(
        self, img_size: tuple[int, int] | None = None, patch_size: tuple[int, int] | None = None
    ) -> None:
        """Change the image size; the position table is recomputed. The split stays, so the grid changes.

        Raises: ``InputError`` for another patch size: the split decides it.
        """
        embed = self.patch_embed
        if patch_size not in (None, embed.patch_size):
            raise InputError("T2T-ViT's patch size follows from its first split: give split=SoftSplit(...) instead")
        embed.img_size = tuple(img_size or embed.img_size)
        embed.maps = embed.split.grids(embed.img_size)
        embed.grid_size = embed.maps[-1]
        embed.num_patches = embed.grid_size[0] * embed.grid_size[1]
        self._set_table()

    def _set_table(self) -> None:
        table = sinusoid_table(1 + self.patch_embed.num_patches, self.embed_dim)
        self.pos_embed = nn.Parameter(table.to(self.cls_token), requires_grad=False)


_CFG = {
    "input_size": (3, 224, 224),
    "num_classes": 1000,
    "crop_pct": 0.9,
    "interpolation": "bicubic",
    "mean": (0.485, 0.456, 0.406),
    "std": (0.229, 0.224, 0.225),
    "fixed_input_size": True,
    "first_conv": "patch_embed.attention1.kqv",
    "classifier": "head",
    "license": "bsd-3-clause-clear",
}
default_cfgs = generate_default_cfgs({"t2t_vit_12": _CFG, "t2t_vit_14": _CFG})


def checkpoint_filter_fn(state: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """The official code's names to timm's."""
    state = state.get("state_dict_ema", state)  # type: ignore[assignment]
    return {key.replace("tokens_to_token.", "patch_embed."): value for key, value in state.items()}


def _t2t(variant: str, pretrained: bool, shape: dict[str, Any], given: dict[str, Any]) -> T2TViT:
    common = {"qkv_bias": False, "norm_layer": partial(nn.LayerNorm, eps=1e-5)}
    arguments = common | shape | given
    return build_model_with_cfg(T2TViT, variant, pretrained, pretrained_filter_fn=checkpoint_filter_fn, **arguments)


@register_model  # type: ignore[untyped-decorator]
def t2t_vit_12(pretrained: bool = False, **kwargs: Any) -> T2TViT:
    """T2T-ViT-12: width 256, 12 blocks of 4 heads, MLP ×2; 1.78 GMACs."""
    return _t2t("t2t_vit_12", pretrained, {"embed_dim": 256, "depth": 12, "num_heads": 4, "mlp_ratio": 2}, kwargs)


@register_model  # type: ignore[untyped-decorator]
def t2t_vit_14(pretrained: bool = False, **kwargs: Any) -> T2TViT:
    """T2T-ViT-14: width 384, 14 blocks of 6 heads, MLP ×3; 4.80 GMACs."""
    return _t2t("t2t_vit_14", pretrained, {"embed_dim": 384, "depth": 14, "num_heads": 6, "mlp_ratio": 3}, kwargs)
