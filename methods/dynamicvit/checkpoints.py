"""The checkpoints that DynamicViT's authors published, and their layout.

A file is a torch pickle with the weights under ``model`` and, in most, an ``argparse.Namespace`` under ``args``. The
backbone's tensors have timm's names; those of stage s lie under ``score_predictor.s``, ours under ``predictors.s``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from dynvit.backbones.deit import deit_of
from dynvit.backbones.deit_files import CROP_PCT, read_published, weights_under
from dynvit.backbones.weights import compare
from dynvit.errors import InputError
from dynvit.interface import PublishedCheckpoint

from .model import DynamicViTModel
from .options import DynamicViTOptions

THEIRS, OURS = "score_predictor.", "predictors."
_TSINGHUA = "https://cloud.tsinghua.edu.cn/f"

PUBLISHED = (
    PublishedCheckpoint(
        "dynamicvit-deit-256-r0.7",
        "deit_256_patch16_224",
        f"{_TSINGHUA}/b0e1ff6af1004039855e/?dl=1",
        76.53,
        note="a DeiT of width 256 and 4 heads, trained for keep ratio 0.7",
    ),
    PublishedCheckpoint(
        "dynamicvit-deit-s-r0.7",
        "deit_small_patch16_224",
        f"{_TSINGHUA}/698896dfbcea430b9591/?dl=1",
        79.32,
        note="trained for keep ratio 0.7",
    ),
    PublishedCheckpoint(
        "dynamicvit-deit-b-r0.7",
        "deit_base_patch16_224",
        f"{_TSINGHUA}/660f27ddb6b945a797a8/?dl=1",
        81.43,
        note="trained for keep ratio 0.7",
    ),
)


@dataclass(frozen=True)
class PublishedFile:
    """The content of a published file: tensors under the authors' names, and the keep ratio where it has one."""

    state: Mapping[str, Tensor]
    keep_ratio: float | None


def read(path: str) -> PublishedFile:
    """The file's tensors; besides them the pickle may have an ``argparse.Namespace`` only.

    Raises: ``InputError`` for a file that is missing, damaged, contains code, or has another layout.
    """
    outer = read_published(path)
    state = weights_under(outer, ("model",), path, "DynamicViT's")
    if any(name.startswith("aux_head.") for name in state):
        raise InputError(f"checkpoint {path} is of an LV-ViT, which is not read: take one of a DeiT")
    if not any(name.startswith(THEIRS) for name in state):
        raise InputError(f"checkpoint {path} has no {THEIRS}* tensors: it is a backbone's, to be given with --weights")
    ratio = getattr(outer.get("args"), "base_rate", None)
    return PublishedFile(state, ratio if isinstance(ratio, float) and 0 < ratio <= 1 else None)


def load(path: str) -> DynamicViTModel:
    """The model, in eval mode, with every size read from the tensors.

    Raises: ``InputError`` as ``read`` does, and for tensors that no plain DeiT has.
    """
    file = read(path)
    backbone = deit_of(file.state, path, crop_pct=CROP_PCT)
    options = DynamicViTOptions() if file.keep_ratio is None else DynamicViTOptions(keep_ratio=file.keep_ratio)
    model = DynamicViTModel(backbone, options)
    state = renamed(file.state)
    compare(state, model.state_dict(), path, "a DynamicViT of these sizes")
    model.load_state_dict(state)
    return model.eval()


def renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The published names as ours."""
    return {
        OURS + name.removeprefix(THEIRS) if name.startswith(THEIRS) else f"backbone.{name}": tensor
        for name, tensor in state.items()
    }
