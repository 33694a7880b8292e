"""A-ViT on a plain ViT: tokens halt one by one, and what has halted is not computed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from optuna.distributions import BaseDistribution, FloatDistribution
from torch import Tensor, nn

from dynvit.backbones.block import ragged_block
from dynvit.backbones.explaining import explained_by_steps
from dynvit.backbones.strength import StrengthModel
from dynvit.backbones.vit import PlainViT
from dynvit.errors import InputError
from dynvit.interface import (
    Batch,
    Citation,
    DynamicModel,
    Explanation,
    Method,
    OperatingPoint,
    Prediction,
    Recipe,
    Stage,
)
from dynvit.ops.halting import Halted, Halting
from dynvit.ops.precision import at_least_float32
from dynvit.ops.thresholds import log_odds

from .options import AViTOptions
from .training import RECIPES, finetune


@dataclass(frozen=True)
class AViTPrediction(Prediction):
    """When tokens halted, which A-ViT is trained on beside its logits."""

    halted: Halted


class AViTModel(StrengthModel):
    """A plain ViT whose tokens halt. It adds no parameters, and trains in the form that it runs in."""

    name = "avit"
    neutral, cheapest = OperatingPoint(halting=0.0), OperatingPoint(halting=1.0)
    trained_point = OperatingPoint(halting=0.5)

    def __init__(self, backbone: nn.Module, options: AViTOptions) -> None:
        super().__init__()
        self.backbone, self.vit, self.options = backbone, PlainViT(backbone, needed_by="method avit"), options
        self.center = options.center_for(self.vit.shape.width)

    def forward(self, images: Tensor, point: OperatingPoint) -> AViTPrediction:
        """Shape: images (B, 3, H, W) → logits (B, classes). Units: pixels in [0, 1]."""
        return self._run(images, point)

    predict = forward

    def forward_frozen(self, images: Tensor, point: OperatingPoint, decided: Prediction) -> AViTPrediction:
        """``forward`` on the tokens that an earlier one ran on, with its weights of the class token's steps.

        Shape: images (B, 3, H, W) → logits (B, classes). Units: pixels in [0, 1].
        """
        assert isinstance(decided, AViTPrediction)
        return self._run(images, point, decided.halted)

    def _run(self, images: Tensor, point: OperatingPoint, given: Halted | None = None) -> AViTPrediction:
        value, blocks, options = float(point.number("halting")), self.vit.blocks, self.options
        if not 0 <= value <= 1:
            raise InputError(f"knob halting must be from 0 (never) to 1 (after the first block), got {value:g}")
        halting = Halting(self.vit.embed(images), len(blocks), options.epsilon, options.ends == "class", given)
        for block in blocks:
            rows = ragged_block(block, halting.rows, halting.ragged) if len(halting.rows) else halting.rows
            read = at_least_float32(rows[:, 0]) + log_odds(value)
            halting.step(rows, torch.sigmoid(options.scale * read - self.center))
        usage = self.vit.usage(images, halting.counts[:-1])
        return AViTPrediction(self.vit.classify(halting.mixed.unsqueeze(1)), usage, halting.halted)

    def path(self, calibration: Sequence[Batch]) -> Callable[[float], OperatingPoint]:
        """The log-odds of the knob are the logarithm of the strength: 0 never halts, 0.5 is trained."""
        return lambda strength: OperatingPoint(halting=1 - 1 / (1 + strength))


class AViT(Method[AViTOptions]):
    """A-ViT on any plain timm ViT with a class token."""

    summary = "tokens halt one by one, by a channel of their own (Yin et al., 2022)"
    venue, year, varies = "CVPR", 2022, ("tokens", "depth")
    paper = Citation(
        "A-ViT: Adaptive Tokens for Efficient Vision Transformer",
        ("Yin, Hongxu", "Vahdat, Arash", "Alvarez, Jose M.", "Mallya, Arun", "Kautz, Jan", "Molchanov, Pavlo"),
        arxiv="2112.07658",
    )
    Options = AViTOptions
    needs_training = True
    explains = True
    by_default = False
    recipes: ClassVar[Mapping[str, Recipe]] = RECIPES

    def knobs(self, options: AViTOptions) -> Mapping[str, BaseDistribution]:
        """``halting``: its log-odds are added to the channel that says when a token halts; 0.5 is what was trained."""
        return {"halting": FloatDistribution(0.0, 1.0)}

    def attach(self, backbone: nn.Module, options: AViTOptions) -> AViTModel:
        """A plain ViT with a class token."""
        return AViTModel(backbone, options)

    def stages(self, model: DynamicModel, recipe: Recipe) -> Sequence[Stage]:
        """One stage: the task, the ponder and the depth prior."""
        assert isinstance(model, AViTModel)
        return [finetune(model.options, recipe, model.vit.shape.depth, model.trained_point)]

    def explain(self, model: DynamicModel, images: Tensor, point: OperatingPoint) -> Sequence[Explanation]:
        """The patches that had not halted in each block."""
        assert isinstance(model, AViTModel)
        prediction = model.predict(images, point)
        return explained_by_steps(model.vit, prediction, prediction.halted.steps)

    def load_published(self, path: str) -> tuple[DynamicModel, OperatingPoint]:
        """A file of the authors' archive.

        Raises: ``InputError`` for a file of another layout, or one that contains code.
        """
        from .checkpoints import load

        return load(path), AViTModel.trained_point
