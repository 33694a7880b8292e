"""A method small enough to train in a second, and the ways to train it; also a plug-in file for other processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from optuna.distributions import BaseDistribution
from torch import Tensor, nn

from dynvit.backbones.normalize import Normalize
from dynvit.interface import (
    Augment,
    Batch,
    DynamicModel,
    Losses,
    Method,
    OperatingPoint,
    ParamGroup,
    Prediction,
    Recipe,
    Stage,
    Usage,
    register_method,
)
from dynvit.schedules import cosine
from dynvit.training.request import RunSettings, TrainRequest
from dynvit.training.run import train_to
from dynvit.training.running import RunningStage

torch.set_num_threads(1)  # tests run beside each other; threads that wait for a core cost more than they give
POINT = OperatingPoint()
BUSY = Augment(flip=0.0, padding=1, random_erasing=0.3, mixup=0.4, cutmix=0.5, smoothing=0.1)


@dataclass(frozen=True)
class TinyOptions:
    """``dropout`` makes the training draw random numbers; ``hidden`` is the width of what is added."""

    dropout: float = 0.2
    hidden: int = 8


class TinyModel(DynamicModel):
    """A backbone and a branch that only images with bright centres take: some batches leave it unused."""

    neutral = POINT

    def __init__(self, backbone: nn.Module, options: TinyOptions) -> None:
        super().__init__()
        self.backbone, self.normalize = backbone, Normalize.of(backbone)
        self.dropout = nn.Dropout(options.dropout)
        self.branch = nn.Sequential(nn.Linear(3 * 64, options.hidden), nn.GELU(), nn.Linear(options.hidden, 10))

    def forward(self, images: Tensor, point: OperatingPoint) -> Prediction:
        logits = self.backbone(self.normalize(self.dropout(images)))
        bright = images[:, 0, 3, 3] > 0.8
        if bright.any():
            logits = logits.index_add(
                0, bright.nonzero()[:, 0], self.branch(images[bright].flatten(1)).to(logits.dtype)
            )
        return Prediction(logits, Usage(len(images), ()))

    predict = forward


@register_method("tiny")
class Tiny(Method[TinyOptions]):
    """First the branch alone, then everything."""

    Options = TinyOptions
    recipes: ClassVar[Mapping[str, Recipe]] = {
        "busy": Recipe(epochs=3, batch_size=16, lr=1e-3, ema_decay=0.9, clip_grad=1.0, augment=BUSY),
        "plain": Recipe(epochs=1, batch_size=16, lr=1e-3, augment=Augment(flip=0.0)),
    }

    def knobs(self, options: TinyOptions) -> Mapping[str, BaseDistribution]:
        return {}

    def attach(self, backbone: nn.Module, options: TinyOptions) -> DynamicModel:
        return TinyModel(backbone, options)

    def stages(self, model: DynamicModel, recipe: Recipe) -> Sequence[Stage]:
        law = cosine(warmup_epochs=0.5, floor=0.01)
        return [
            stage("branch", recipe.epochs, lambda m: branch(m, recipe.lr)),
            stage("all", recipe.epochs, lambda m: [ParamGroup("all", list(m.parameters()), recipe.lr, 0.05, law)]),
        ]


def branch(model: DynamicModel, lr: float = 1e-3) -> list[ParamGroup]:
    return [ParamGroup("branch", list(model.get_submodule("branch").parameters()), lr)]


def loss(model: nn.Module, batch: Batch) -> Losses:
    value = F.cross_entropy(model(batch.images, POINT).logits.float(), batch.targets)
    return Losses(value, {"cross_entropy": value})


def stage(
    name: str,
    epochs: int,
    groups: Callable[[DynamicModel], Sequence[ParamGroup]],
    loss: Callable[[nn.Module, Batch], Losses] = loss,
    **more: object,
) -> Stage:
    return Stage(name=name, epochs=epochs, groups=groups, loss=loss, **more)  # type: ignore[arg-type]


def request(recipe: str = "busy", **more: object) -> TrainRequest:
    asked = {"method": "tiny", "backbone": "vit_digits", "dataset": "digits", "recipe": recipe, "limit_train": 64}
    return TrainRequest(**(asked | more))  # type: ignore[arg-type]


@dataclass
class Noise:
    """A loader of random images, the same for the same epoch."""

    batch_size: int = 8
    steps: int = 2

    def __len__(self) -> int:
        return self.steps

    def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        generator = torch.Generator().manual_seed(epoch)
        for step in range(self.steps):
            images = torch.rand(self.batch_size, 3, 8, 8, generator=generator)
            labels = torch.randint(10, (self.batch_size,), generator=generator)
            if step >= start:
                yield images, labels


def train_through_kills(
    monkeypatch: pytest.MonkeyPatch, folder: Path, asked: TrainRequest, at: Sequence[int], settings: RunSettings
) -> None:
    """Train into a folder in as many lives as it takes, of which each ends before the steps counted in ``at``."""
    plain, calls, deaths = RunningStage.step, 0, 0

    def step(self: RunningStage, pieces: list[Batch]) -> Losses:
        nonlocal calls
        calls += 1
        if calls in at:
            raise KeyboardInterrupt
        return plain(self, pieces)

    with monkeypatch.context() as patched:
        patched.setattr(RunningStage, "step", step)
        while True:
            try:
                train_to(folder, asked, settings)
                break
            except KeyboardInterrupt:
                deaths += 1
    assert deaths == len(at)


def accelerator() -> Accelerator:
    return Accelerator(cpu=True)


def weights_of(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()
