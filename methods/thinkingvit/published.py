"""Checkpoints in the layouts of ds-kiel/ThinkingViT: the present one, and the older one of 768 channels for all.

A file is a training checkpoint of timm's (averaged weights first) or plain safetensors. In the older layout a 3-6 is
the leading part of a DeiT-B with twelve alphas, and only the training's arguments, or the file's name, say so.
"""

from __future__ import annotations

import argparse
import contextlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from dynvit.backbones.deit import deit_of
from dynvit.backbones.weights import compare, read_weights
from dynvit.errors import InputError

from .model import ThinkingViTModel
from .options import ThinkingViTOptions

HEAD_DIM = 64
PROJECTIONS = ("proj_layer", "proj_layer2")
OLD_HEADS = 12


def load_published(path: str) -> ThinkingViTModel:
    """Read a released file; no code in it is executed.

    Raises: ``InputError`` for a file that is missing, unsafe, or of another layout.
    """
    if not Path(path).is_file():
        raise InputError(f"no file {path}: give the path of a released ThinkingViT checkpoint")
    return from_state(read_weights(Path(path)), path, _rounds_in(path) or _rounds_named(path))


def from_state(state: Mapping[str, Tensor], where: str, rounds: Sequence[int] | None = None) -> ThinkingViTModel:
    """The model that released tensors belong to; ``rounds``, heads of each, where the tensors do not say.

    Raises: ``InputError`` where they belong to none.
    """
    try:
        found = _rounds_of(state, where, rounds)
        cut = cropped(state, found[-1] * HEAD_DIM)
    except (IndexError, RuntimeError) as error:  # a tensor of no axes has no width
        raise InputError(f"{where} has tensors of other shapes than a released ThinkingViT checkpoint") from error
    options = ThinkingViTOptions(found)
    model = ThinkingViTModel(deit_of(cut, where), options)
    renamed = {_ours(name): tensor for name, tensor in cut.items()}
    for index, wide in enumerate(model.widths[1:]):
        for name in (f"recycle.{index}.weight", f"recycle.{index}.bias"):
            if name in renamed:
                renamed[name] = renamed[name][:wide]  # a round reads no channel beyond its own
    wanted = model.state_dict()
    # Of the older layout's twelve alphas only those of its rounds are read.
    renamed = {name: tensor for name, tensor in renamed.items() if name in wanted or not name.startswith("alpha.")}
    compare(renamed, wanted, where, f"ThinkingViT {'-'.join(map(str, found))}")
    precise = state["cls_token"].dtype == torch.float64  # half precision fits into float32 without loss
    model = model.to(torch.float64 if precise else torch.float32)
    model.load_state_dict(renamed)
    return model.eval()


def cropped(state: Mapping[str, Tensor], width: int) -> dict[str, Tensor]:
    """Tensors of a wider layout, cut to the leading ``width`` channels; those of that width are left as they are."""
    wide = state["cls_token"].shape[-1]
    if wide == width:
        return dict(state)
    return {name: _cut(name, tensor, wide, width) for name, tensor in state.items()}


def _cut(name: str, tensor: Tensor, wide: int, width: int) -> Tensor:
    if name.startswith("alpha.") or name == "head.bias":
        return tensor
    if ".qkv." in name:  # queries, keys and values lie a full width apart
        return torch.cat([_cut("", part, wide, width) for part in tensor.chunk(3)])
    if name.startswith(PROJECTIONS):
        return tensor[:width]
    if name == "patch_embed.proj.weight":
        return tensor[:width]
    if name == "head.weight":
        return tensor[:, :width]
    for axis, size in enumerate(tensor.shape):  # of hidden channels there is a multiple
        if size % wide == 0:
            tensor = tensor.narrow(axis, 0, size // wide * width)
    return tensor


def _rounds_of(state: Mapping[str, Tensor], where: str, asked: Sequence[int] | None) -> tuple[int, ...]:
    """Heads of each round: as many projections as transitions, each from a round's width."""
    narrow = [state[f"{name}.weight"].shape[-1] for name in PROJECTIONS if f"{name}.weight" in state]
    if not narrow or "alpha.0" not in state or "cls_token" not in state:
        raise InputError(f"{where} lacks alpha.0 and {PROJECTIONS[0]}: it is not a released ThinkingViT checkpoint")
    width = state["cls_token"].shape[-1]
    if any(each % HEAD_DIM or each > width for each in (*narrow, width)):
        raise InputError(f"{where} has rounds of {narrow} of {width} channels, which are not heads of {HEAD_DIM}")
    heads = [each // HEAD_DIM for each in narrow]
    older = sum(name.startswith("alpha.") for name in state) == OLD_HEADS
    if older and asked is None:
        raise InputError(
            f"{where} is of the older layout, which has {width} channels whatever its rounds: let the file's name end "
            f"with the heads of each round, as ThinkingViT_{'_'.join(map(str, (*heads, 2 * heads[-1])))}.pth"
        )
    last = asked[-1] if older and asked else width // HEAD_DIM
    rounds = (*heads, last)
    if asked is not None and tuple(asked) != rounds and older:
        raise InputError(
            f"{where} is said to have rounds of {','.join(map(str, asked))} heads, its tensors have "
            f"{','.join(map(str, rounds))}: correct the file's name"
        )
    if last > width // HEAD_DIM:
        raise InputError(f"{where} has {width // HEAD_DIM} heads, and cannot have a round of {last}")
    return rounds


def _ours(name: str) -> str:
    """A released name as ours."""
    if name.startswith("alpha."):
        return name
    for index, projection in enumerate(PROJECTIONS):
        if name.startswith(f"{projection}."):
            return f"recycle.{index}{name.removeprefix(projection)}"
    return f"backbone.{name}"


def _rounds_in(path: str) -> tuple[int, ...] | None:
    """The training's own argument, where the file kept it."""
    # Safetensors have none, and what is damaged was refused before.
    with contextlib.suppress(Exception), torch.serialization.safe_globals([argparse.Namespace]):
        found = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        return tuple(int(heads) for heads in found["args"].thinking_stages)
    return None


def _rounds_named(path: str) -> tuple[int, ...] | None:
    """``ThinkingViT_3_6.pth.tar`` has rounds of 3 and 6 heads.

    >>> _rounds_named("ThinkingViT_3_6_12.pth.tar"), _rounds_named("model.safetensors")
    ((3, 6, 12), None)
    """
    found = re.search(r"[_-](\d{1,2})h?[_-](\d{1,2})h?(?:[_-](\d{1,2})h?)?(?![\d])", Path(path).name.partition(".")[0])
    return tuple(int(heads) for heads in found.groups() if heads) if found else None
