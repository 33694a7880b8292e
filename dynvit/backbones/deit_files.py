"""DeiTs in files that methods' authors published: a torch pickle with the weights under a name, in timm's spelling."""

from __future__ import annotations

import argparse
import math
import pickle
from collections.abc import Mapping, Sequence
from typing import Any

import timm
import torch
from torch import Tensor, nn

from dynvit.errors import InputError

_HEAD_DIM = 64  # of every DeiT; the tensors do not show it
_NEAREST = {192: "deit_tiny_patch16_224", 768: "deit_base_patch16_224"}
CROP_PCT = 224 / 256
"""What DeiT's own code crops, and that of many built on it: it resizes to 256 pixels for an input of 224; timm's DeiT
has 0.9."""


def read_published(path: str) -> Mapping[str, Any]:
    """The content of a published file; besides tensors the pickle may have an ``argparse.Namespace`` only.

    Raises: ``InputError`` for a file that is missing, damaged, or contains code.
    """
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            found = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise InputError(f"no checkpoint at {path}: dynvit ls checkpoints shows those that can be fetched") from error
    except Exception as error:  # a damaged pickle may raise anything
        code = isinstance(error, pickle.UnpicklingError) and "GLOBAL" in str(error)
        reason = "its pickle contains code, which is never run" if code else "it is not a torch file"
        raise InputError(f"checkpoint {path} cannot be read: {reason}; download it again from its authors") from error
    return found if isinstance(found, Mapping) else {}


def weights_under(outer: Mapping[str, Any], names: Sequence[str], path: str, whose: str) -> Mapping[str, Tensor]:
    """The weights under the first of ``names`` that is there, else the whole content.

    Raises: ``InputError`` where that is no mapping of names to tensors; ``whose`` files are expected.
    """
    state = next((outer[name] for name in names if name in outer), outer)
    if not isinstance(state, Mapping) or not state or not all(isinstance(value, Tensor) for value in state.values()):
        known = " or ".join(repr(name) for name in names)
        raise InputError(f"checkpoint {path} holds no weights under {known}: it is not one of {whose}")
    return state


def deit_of(state: Mapping[str, Tensor], where: str, heads: int | None = None, crop_pct: float = CROP_PCT) -> nn.Module:
    """A DeiT of the tensors' width, depth, MLP, patches, resolution and classes; its weights are not loaded.

    Args:
        state: tensors by timm's names.
        where: the file, for messages.
        heads: where they are not the width over 64, as in every published DeiT.
        crop_pct: the share of an image's edge that its authors evaluate on.

    Raises: ``InputError`` where a tensor that shows a size is missing or has another rank.
    """
    try:
        classes, width = state["head.weight"].shape
        _, channels, patch, _ = state["patch_embed.proj.weight"].shape
        hidden, _ = state["blocks.0.mlp.fc1.weight"].shape
        positions = state["pos_embed"].shape[1]
    except (KeyError, ValueError) as error:
        raise InputError(f"checkpoint {where} does not have a DeiT's tensors ({error}): it is not read") from error
    depth = 1 + max(int(name.split(".")[1]) for name in state if name.startswith("blocks."))
    edge = math.isqrt(positions - 1)
    heads = width // _HEAD_DIM if heads is None else heads
    if edge * edge != positions - 1 or heads == 0 or width % heads:
        raise InputError(f"checkpoint {where} has {positions} positions of width {width}, which no DeiT has")
    name = _NEAREST.get(width, "deit_small_patch16_224")
    model = timm.create_model(
        name,
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
    size = (channels, edge * patch, edge * patch)
    config = dict(model.pretrained_cfg) | {"input_size": size, "num_classes": classes, "crop_pct": crop_pct}
    vars(model).update(pretrained_cfg=config, default_cfg=config)
    return model
