"""A DeiT of the sizes that published tensors show, for checkpoints that name no backbone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import timm
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from dynvit.errors import InputError

_HEAD_DIM = 64  # of every DeiT; the tensors do not show it
_NEAREST = {192: "deit_tiny_patch16_224", 768: "deit_base_patch16_224"}


def deit_of(state: Mapping[str, Tensor], where: str, heads: int | None = None, **config: Any) -> VisionTransformer:
    """A DeiT of the tensors' width, depth, MLP, patches, resolution and classes; its weights are not loaded.

    Args:
        state: tensors by timm's names.
        where: the file, for messages.
        heads: where they are not the width over 64, as in every published DeiT.
        config: what its ``pretrained_cfg`` says otherwise than timm's (``crop_pct``).

    Raises: ``InputError`` where a tensor that shows a size is missing or has another rank.
    """
    try:
        classes, width = state["head.weight"].shape
        _, channels, patch, _ = state["patch_embed.proj.weight"].shape
        hidden, _ = state["blocks.0.mlp.fc1.weight"].shape
        positions = state["pos_embed"].shape[1]
    except (KeyError, ValueError, IndexError) as error:
        raise InputError(f"checkpoint {where} does not have a DeiT's tensors ({error}): it is not read") from error
    numbers = [name.split(".")[1] for name in state if name.startswith("blocks.")]
    depth = 1 + max((int(number) for number in numbers if number.isdecimal()), default=0)
    edge = math.isqrt(positions - 1)
    heads = width // _HEAD_DIM if heads is None else heads
    if edge * edge != positions - 1 or edge == 0 or heads == 0 or width % heads:
        raise InputError(f"checkpoint {where} has {positions} positions of width {width}, which no DeiT has")
    model = timm.create_model(
        _NEAREST.get(width, "deit_small_patch16_224"),
        img_size=edge * patch,
        patch_size=patch,
        in_chans=channels,
        embed_dim=width,
        depth=depth,
        num_heads=heads,
        mlp_ratio=hidden / width,
        qkv_bias="blocks.0.attn.qkv.bias" in state,
        num_classes=classes,
    )
    assert isinstance(model, VisionTransformer)
    said = {"input_size": (channels, edge * patch, edge * patch), "num_classes": classes}
    changed = dict(model.pretrained_cfg) | said | config
    vars(model).update(pretrained_cfg=changed, default_cfg=changed)
    return model
