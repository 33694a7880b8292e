"""One exit's transformer: a copy of the backbone whose image is split into another grid of tokens."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from math import ceil

import torch
from timm.layers import PatchEmbed, resample_abs_pos_embed, resample_patch_embed
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from dynvit.backbones.t2t import SoftSplit, T2TViT, TokensToToken, sinusoid_table
from dynvit.errors import InputError

RELEASED_SPLITS = {14: SoftSplit(7, 4, 2), 10: SoftSplit(11, 6, 5), 7: SoftSplit(14, 8, 3)}
"""First splits of the released T2T exits, at 224 pixels, by grid."""


@dataclass(frozen=True)
class PatchCut:
    """A convolution that cuts an edge of pixels into patches. Units: pixels."""

    kernel: int
    stride: int
    padding: int


class GridPatchEmbed(PatchEmbed):
    """timm's patch embedding for a grid that need not divide the image."""

    def __init__(self, like: PatchEmbed, grid: int) -> None:
        cut, proj = patch_cut(like.img_size[0], grid), like.proj
        super().__init__(None, cut.kernel, proj.in_channels, proj.out_channels, bias=proj.bias is not None)
        self.img_size, self.grid_size, self.num_patches = like.img_size, (grid, grid), grid * grid
        self.norm = copy.deepcopy(like.norm)
        self.proj.stride, self.proj.padding = (cut.stride, cut.stride), (cut.padding, cut.padding)


def patch_cut(size: int, grid: int) -> PatchCut:
    """How ``size`` pixels become ``grid`` patches: side by side, with equal padding where they do not divide.

    Where a whole patch would be padding, patches overlap instead. At 224 pixels 7, 10 and 14 are as released.

    Raises: ``InputError`` for more patches than pixels. Units: pixels.

    >>> patch_cut(224, 10), patch_cut(8, 6)
    (PatchCut(kernel=23, stride=23, padding=3), PatchCut(kernel=3, stride=1, padding=0))
    """
    if not 1 <= grid <= size:
        raise InputError(f"the grid of an image of {size} pixels must be 1 to {size}, got {grid}")
    stride = ceil(size / grid)
    missing = stride * grid - size
    if missing < stride:
        return PatchCut(stride, stride, ceil(missing / 2))
    stride = size // grid
    return PatchCut(size - (grid - 1) * stride, stride, 0)


def soft_split(size: int, grid: int) -> SoftSplit:
    """The T2T tokeniser's first split for a grid: the released one where there is one, else one that overlaps likewise.

    Raises: ``InputError`` where there is none. Units: pixels.

    >>> soft_split(224, 10), soft_split(384, 24).grids((384, 384))[-1]
    (SoftSplit(kernel=11, stride=6, padding=5), (24, 24))
    """
    candidates = [RELEASED_SPLITS[grid]] if grid in RELEASED_SPLITS else []
    stride = ceil(size / (4 * grid))
    candidates += [SoftSplit(2 * stride - 1, stride, padding) for padding in range(max(stride // 2, 1), 2 * stride)]
    for split in candidates:
        if split.grids((size, size))[-1] == (grid, grid):
            return split
    raise InputError(f"T2T's tokeniser has no split of {size} pixels into a grid of {grid}: try multiples of 7")


def regrid(template: VisionTransformer, grid: int, keep_weights: bool) -> VisionTransformer:
    """A copy of ``template`` with ``grid`` × ``grid`` patch tokens.

    With ``keep_weights`` position tables and patch filters are resampled; T2T's first attention, whose input
    has another width on another grid, is initialised anew. Without, everything is, as timm does it.

    Raises: ``InputError`` for an image that is not square or has no such grid.
    """
    embed = template.patch_embed
    size = embed.img_size
    if size[0] != size[1]:
        raise InputError(f"the backbone of DVT must take square images, got {size[0]}×{size[1]} pixels")
    model = copy.deepcopy(template)
    if tuple(embed.grid_size) != (grid, grid):
        old_grid = tuple(embed.grid_size)
        if isinstance(model, T2TViT):
            model.patch_embed = _regridded_t2t(embed, grid)
            table = sinusoid_table(1 + grid * grid, model.embed_dim)
            model.pos_embed = nn.Parameter(table.to(template.pos_embed), requires_grad=False)
        else:
            model.patch_embed = _regridded_patches(embed, grid)
            if template.pos_embed is not None:
                table = resample_abs_pos_embed(
                    template.pos_embed.detach(),
                    new_size=[grid, grid],
                    old_size=list(old_grid),
                    num_prefix_tokens=0 if template.no_embed_class else 1,
                )
                model.pos_embed = nn.Parameter(table)
        model.to(template.cls_token.device, template.cls_token.dtype)
    if not keep_weights:
        model.init_weights()
    return model


def _regridded_t2t(embed: TokensToToken, grid: int) -> TokensToToken:
    made = TokensToToken(
        embed.img_size, in_chans=embed.in_chans, embed_dim=embed.embed_dim, split=soft_split(embed.img_size[0], grid)
    )
    made.attention2.load_state_dict(embed.attention2.state_dict())
    made.project.load_state_dict(embed.project.state_dict())
    return made


def _regridded_patches(embed: PatchEmbed, grid: int) -> GridPatchEmbed:
    made = GridPatchEmbed(embed, grid)
    with torch.no_grad():
        made.proj.weight.copy_(resample_patch_embed(embed.proj.weight.detach(), list(made.patch_size)))
        if made.proj.bias is not None:
            made.proj.bias.copy_(embed.proj.bias)
    return made
