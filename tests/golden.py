"""Golden vectors: numbers that the published reference implementations gave, found by family and rebuilt by rule.

The folder is ``$DYNVIT_GOLDEN``, by default ``../shared/golden`` beside the checkout. Each file tells its own sizes
and settings, so another member of a family is tested without a change here. Weights and images are not stored: they
follow from names and shapes (rules W and X of the folder's README).
"""

from __future__ import annotations

import json
import os
import zlib
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from torch import Tensor, nn

ROOT = Path(os.environ.get("DYNVIT_GOLDEN") or Path(__file__).parents[2] / "shared" / "golden")


class Golden:
    """One golden file: arrays by name, and what its ``meta`` says."""

    def __init__(self, path: Path) -> None:
        with np.load(path) as arrays:
            self._arrays = {name: arrays[name] for name in arrays.files}
        self.meta: dict[str, Any] = json.loads(str(self._arrays["meta"]))

    def __contains__(self, name: str) -> bool:
        return name in self._arrays

    def __getitem__(self, name: str) -> Tensor:
        return torch.from_numpy(self._arrays[name])

    @cached_property
    def weights(self) -> dict[str, Tensor]:
        """The reference's state dict by rule W, in float64; a tensor that is not the file's stops at once."""
        state = {}
        for key, shape, total in zip(*(self._arrays[n] for n in ("keys", "shapes", "key_sums")), strict=True):
            sizes = tuple(int(size) for size in str(shape).split("x") if size)
            state[str(key)] = tensor = weight(str(key), sizes)
            assert abs(float(tensor.sum()) - float(total)) < 1e-9 * max(1, tensor.numel()), f"rule W is off at {key}"
        return state


def weight(key: str, shape: tuple[int, ...]) -> Tensor:
    """Rule W: a tensor from its name and shape."""
    drawn = np.random.RandomState(zlib.crc32(key.encode()) & 0xFFFFFFFF).standard_normal(shape)
    last = key.rpartition(".")[2]
    if key.endswith("out_zero_mask"):
        drawn = np.zeros(shape)
    elif len(shape) == 1:
        drawn = 1 + 0.1 * drawn if last == "weight" else 0.1 * drawn
    elif last in ("cls_token", "pos_embed"):
        drawn = 0.2 * drawn
    elif last == "w":
        drawn = drawn / np.sqrt(2)
    else:
        gains = {".kqv.": 0.25, ".qkv.": 1.5, ".attn.proj.": 0.5, ".tokens_to_token.project.": 4.0}
        gain = next((gain for part, gain in gains.items() if part in f".{key}"), 1.0)
        drawn = gain * drawn / np.sqrt(np.prod(shape[1:]))
    return torch.from_numpy(np.asarray(drawn))


def images() -> Tensor:
    """Rule X: two images, as if already normalised."""
    return torch.from_numpy(np.random.RandomState(0).standard_normal((2, 3, 224, 224)))


def family(pattern: str) -> list[Any]:
    """The files whose names match ``PATTERN.npz``, for ``parametrize``; a skip with the reason where there are none.

    A folder may hold further members of a family, and lack whole families.
    """
    found = sorted(ROOT.glob(f"{pattern}.npz"))
    if not found:
        reason = f"no {pattern}.npz in {ROOT}: set DYNVIT_GOLDEN"
        return [pytest.param(None, id=pattern, marks=pytest.mark.skip(reason=reason))]
    return [pytest.param(path, id=path.stem) for path in found]


def deit_small() -> nn.Module:
    """The reference's weights by rule W, on images that are normalised already."""
    backbone = timm.create_model("deit_small_patch16_224").double().eval()
    backbone.load_state_dict({key: weight(key, tuple(t.shape)) for key, t in backbone.state_dict().items()})
    backbone.pretrained_cfg = dict(backbone.pretrained_cfg, mean=(0.0,) * 3, std=(1.0,) * 3)
    return backbone
