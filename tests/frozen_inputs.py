"""Weights and a checkpoint made from integers alone: the same bytes on every machine, so that ids can be frozen."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from dynvit.backbones.build import BackboneSpec, build
from dynvit.data import datasets
from dynvit.interface import methods

FROZEN = Path(__file__).parent / "frozen_v1"


def numbers(state: Mapping[str, Tensor], seed: int) -> dict[str, Tensor]:
    """A tensor for each of ``state``, of multiples of 1/1024."""
    draw = np.random.Generator(np.random.PCG64(seed))
    found = {}
    for name in sorted(state):
        shape = tuple(state[name].shape)
        whole = draw.integers(-300, 301, size=shape) if state[name].is_floating_point() else None
        found[name] = (
            state[name].clone() if whole is None else torch.from_numpy(whole.astype(np.float32) / np.float32(1024))
        )
    return found


def make_inputs(folder: Path) -> None:
    """``weights.safetensors`` of vit_digits, and ``dvt``, a checkpoint as version 1 of its format had it."""
    dataset = datasets.get("digits")
    spec = BackboneSpec(name="vit_digits", num_classes=10, mean=dataset.mean, std=dataset.std)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(numbers(build(spec).state_dict(), 0), folder / "weights.safetensors", metadata={"format": "pt"})
    method = methods.get("dvt")()
    model = method.attach(build(spec), method.Options())
    (folder / "dvt").mkdir(exist_ok=True)
    save_file(numbers(model.state_dict(), 1), folder / "dvt" / "model.safetensors", metadata={"format": "pt"})
    shutil.copy(FROZEN / "dvt" / "config.json", folder / "dvt" / "config.json")
