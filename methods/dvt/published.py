"""Checkpoints in the layout of blackfeather-wang/Dynamic-Vision-Transformer, its spelling included."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isqrt
from typing import Any

import numpy as np
import timm
import torch
from numpy._core import multiarray
from torch import Tensor

from dynvit.backbones import t2t as _t2t  # noqa: F401 - registers T2T-ViT with timm
from dynvit.backbones.weights import compare
from dynvit.errors import InputError
from dynvit.interface import Augment, OperatingPoint, PublishedCheckpoint

from .cascade import Cascade
from .options import DVTOptions
from .thresholds import as_knobs

State = Mapping[str, Tensor]
PREFIXES = ("less_less_token", "less_token", "normal_token")
BACKBONES = {
    (True, 256): "t2t_vit_12",
    (True, 384): "t2t_vit_14",
    (False, 192): "deit_tiny_patch16_224",
    (False, 384): "deit_small_patch16_224",
    (False, 768): "deit_base_patch16_224",
}

CALIBRATION_AUGMENT = Augment(crop_scale=0.08, flip=0.5)
"""The released code solves thresholds on 50,000 training images as a training loader gives them: cropped at random and
mirrored. A released model has learned every training image, and is too sure of it as it is."""

_TSINGHUA = "https://cloud.tsinghua.edu.cn/f"

PUBLISHED = (
    PublishedCheckpoint(
        "dvt-t2t-vit-12",
        "t2t_vit_12",
        f"{_TSINGHUA}/f7987d559f00435caa3d/?dl=1",
        80.00,
        note="the last exit's top-1, by Table 6",
    ),
    PublishedCheckpoint(
        "dvt-t2t-vit-14",
        "t2t_vit_14",
        f"{_TSINGHUA}/afda2eec77c7491bbdaf/?dl=1",
        82.8,
        note="read off Figure 6, where its curve ends",
    ),
    PublishedCheckpoint(
        "dvt-deit-s",
        "deit_small_patch16_224",
        f"{_TSINGHUA}/c415017423dd40ab8e72/?dl=1",
        81.67,
        note="at 4.63 GFLOPs by fvcore's rule, Table 4",
    ),
)
"""Names of the released checkpoints. Each has a second address, on Google Drive, in the released README."""


@dataclass(frozen=True)
class Published:
    """A released model with the points and the curve that its authors stored.

    ``points`` are those in ``stored``, or the one that keeps every image where the file has none.

    Units: ``curve_gmacs`` under fvcore's rule, ``curve_accuracy`` top-1 in percent, one for each point;
    ``exit_gmacs`` and ``exit_accuracy`` by exit.
    """

    model: Cascade
    points: Sequence[OperatingPoint]
    stored: Sequence[OperatingPoint] = ()
    curve_gmacs: Sequence[float] = ()
    curve_accuracy: Sequence[float] = ()
    exit_gmacs: Sequence[float] = ()
    exit_accuracy: Sequence[float] = ()


def load_published(path: str) -> Published:
    """Read a released ``.pth.tar``; no code in the file is executed.

    Raises: ``InputError`` for a file that is missing, unsafe, or of another layout.
    """
    found = _read(path)
    state = found.get("model_state_dict")
    if not isinstance(state, Mapping) or not all(isinstance(tensor, Tensor) for tensor in state.values()):
        raise InputError(f"{path} holds no model_state_dict: it is not a released DVT checkpoint")
    model = from_state(state, path)
    stored = found.get("dynamic_threshold")
    rows = [] if stored is None else np.asarray(stored, dtype=np.float64).tolist()
    if any(len(row) != len(model.exits) for row in rows):
        raise InputError(f"{path} stores thresholds for another number of exits than the {len(model.exits)} it has")
    kept = [model.point_of(as_knobs(row)) for row in rows]
    spent, right = found.get("budgeted_batch_classification") or ((), ())
    return Published(
        model,
        kept or [model.point_of((model.keeps,) * (len(model.exits) - 1))],
        stored=kept,
        curve_gmacs=_numbers(spent),
        curve_accuracy=_numbers(right),
        exit_gmacs=_numbers(found.get("flops", ())),
        exit_accuracy=_numbers(found.get("anytime_classification", ())),
    )


def _numbers(values: Iterable[Any]) -> list[float]:
    return [float(value) for value in values]


def from_state(state: State, where: str) -> Cascade:
    """The cascade that released weights belong to, by their names and shapes.

    Raises: ``InputError`` where they belong to none.
    """
    prefixes = [prefix for prefix in PREFIXES if f"{prefix}.cls_token" in state]
    last = prefixes[-1] if prefixes else ""
    if len(prefixes) < 2 or any(f"{p}.{name}" not in state for p in prefixes for name in ("pos_embed", "head.weight")):
        raise InputError(f"{where} lacks the exits {', '.join(PREFIXES)}: it is not a released DVT checkpoint")
    tokens_to_token, width = f"{last}.tokens_to_token.project.weight" in state, state[f"{last}.cls_token"].shape[-1]
    name = BACKBONES.get((tokens_to_token, width))
    if name is None:
        raise InputError(f"{where} is of width {width}, which none of {', '.join(BACKBONES.values())} has")
    grids = tuple(isqrt(state[f"{prefix}.pos_embed"].shape[1] - 1) for prefix in prefixes)
    features = f"{last}.blocks.0.feature_resuse_mlp.1.fc1.weight" in state
    options = DVTOptions(
        grids=grids,
        feature_reuse="full" if features else "off",
        relation_reuse="full" if f"{last}.relation_reuse_conv.0.weight" in state else "off",
    )
    template = timm.create_model(name, num_classes=len(state[f"{last}.head.weight"]), drop_path_rate=0.1)
    # The authors resize to 256 pixels for an input of 224; timm's backbones have 0.9.
    config = dict(template.pretrained_cfg) | {"crop_pct": 224 / 256}
    vars(template).update(pretrained_cfg=config, default_cfg=config)
    precise = state[f"{last}.head.weight"].dtype == torch.float64  # half precision fits into float32 without loss
    model = Cascade(template, options).to(torch.float64 if precise else torch.float32)
    renamed = rename(state, prefixes)
    compare(renamed, model.state_dict(), where, f"DVT on {name}")
    model.load_state_dict(renamed)
    return model.eval()


def rename(state: State, prefixes: Sequence[str] = PREFIXES) -> dict[str, Tensor]:
    """Released names to ours; the feature MLPs of an exit's blocks are stacked."""
    renamed: dict[str, Tensor] = {}
    stacks: dict[str, dict[int, Tensor]] = {}
    for key, value in state.items():
        prefix, _, name = key.partition(".")
        base = f"exits.{prefixes.index(prefix)}." if prefix in prefixes else f"{prefix}."
        head, found, layer = name.partition(".feature_resuse_mlp.")
        if found:
            stacks.setdefault(f"{base}features.{_FEATURES.get(layer, layer)}", {})[int(head.split(".")[1])] = value
        elif name.startswith("relation_reuse_conv."):
            layer, _, kind = name.removeprefix("relation_reuse_conv.").partition(".")
            place = f"{base}relations.{'weights' if kind == 'weight' else 'biases'}.{int(layer) // 2}"
            renamed[place] = value.flatten(1)[None] if kind == "weight" else value[None, :, None]
        else:
            renamed[f"{base}vit.{name.replace('tokens_to_token.', 'patch_embed.')}"] = value
    return renamed | {key: torch.stack([blocks[i] for i in sorted(blocks)]) for key, blocks in stacks.items()}


_FEATURES = {
    "0.weight": "norm_weight",
    "0.bias": "norm_bias",
    "1.fc1.weight": "fc1_weight",
    "1.fc1.bias": "fc1_bias",
    "1.fc2.weight": "fc2_weight",
    "1.fc2.bias": "fc2_bias",
}


def _read(path: str) -> Mapping[str, Any]:
    # Some files store curves as numpy numbers; these are data, and nothing else is allowed.
    numbers: list[Any] = [multiarray.scalar, np.dtype, np.dtypes.Float64DType, np.dtypes.Float32DType]
    try:
        with torch.serialization.safe_globals(numbers):
            found = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise InputError(f"no file {path}: give the path of a released DVT checkpoint (.pth.tar)") from error
    except pickle.UnpicklingError as error:
        raise InputError(f"{path} contains code, which is never run: {str(error).splitlines()[0]}") from error
    except Exception as error:  # a damaged pickle may raise anything
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(f"{path} is not a readable checkpoint: {reason}") from error
    if not isinstance(found, Mapping):
        raise InputError(f"{path} holds a {type(found).__name__}, not the dict of a released DVT checkpoint")
    return found
