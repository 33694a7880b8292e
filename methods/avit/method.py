"""A-ViT as a method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from optuna.distributions import BaseDistribution, FloatDistribution
from torch import Tensor, nn

from dynvit import cost
from dynvit.backbones.explaining import explained_by_blocks
from dynvit.interface import BlockWork, DynamicModel, Explanation, Method, OperatingPoint, Recipe, Stage

from .checkpoints import load
from .model import AViTModel
from .options import AViTOptions
from .recipes import RECIPES
from .stages import finetune


class AViT(Method[AViTOptions]):
    """A-ViT on any plain timm ViT with a class token."""

    summary = "tokens halt one by one, by a channel of their own (Yin et al., 2022)"
    venue, year, varies = "CVPR", 2022, ("tokens", "depth")
    Options = AViTOptions
    needs_training = True
    explains = True
    by_default = False
    recipes: ClassVar[Mapping[str, Recipe]] = RECIPES

    def knobs(self, options: AViTOptions) -> Mapping[str, BaseDistribution]:
        """``halting``: the odds of halting are those of this number times the trained ones, γ apart; 0.5 is trained."""
        return {"halting": FloatDistribution(0.0, 1.0)}

    def attach(self, backbone: nn.Module, options: AViTOptions) -> AViTModel:
        """A plain ViT with a class token."""
        return AViTModel(backbone, options)

    def stages(self, model: DynamicModel, recipe: Recipe) -> Sequence[Stage]:
        """One stage: the task, the ponder and the depth prior."""
        assert isinstance(model, AViTModel)
        return [finetune(model, recipe)]

    def explain(self, model: DynamicModel, images: Tensor, point: OperatingPoint) -> Sequence[Explanation]:
        """The patches that had not halted in each block."""
        assert isinstance(model, AViTModel)
        prediction, shape = model.predict(images, point), model.vit.shape
        dense = int(cost.macs(model.vit.usage(images[:1], model.vit.block_tokens)))
        told = zip(prediction.logits.argmax(1).tolist(), cost.macs(prediction.usage).tolist(), strict=True)
        found = []
        for steps, (answer, macs) in zip(prediction.steps.cpu(), told, strict=True):
            ran = [(steps > block) for block in range(shape.depth)]
            blocks = [
                BlockWork(bool(m.any()), shape.heads * bool(m.any()), shape.heads, m[1:].view(shape.grid)) for m in ran
            ]
            found.append(explained_by_blocks(answer, macs, dense, blocks))
        return found

    def load_published(self, path: str) -> tuple[DynamicModel, OperatingPoint]:
        """A file of the authors' archive.

        Raises: ``InputError`` for a file of another layout, or one that contains code.
        """
        model = load(path)
        return model, model.trained_point
