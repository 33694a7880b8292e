"""Methods around such models: one that conforms, and those whose explanations do not."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import torch.nn.functional as F
from optuna.distributions import BaseDistribution, IntDistribution
from torch import Tensor, nn

from dynvit import cost
from dynvit.interface import (
    Batch,
    DynamicModel,
    Explanation,
    Losses,
    Method,
    OperatingPoint,
    ParamGroup,
    Recipe,
    Stage,
)
from violations import Conforming, Nothing


class Around(Method[Nothing]):
    """A method around one of the models above."""

    Options = Nothing
    adaptive_cost = False
    explains = True
    budget_knob = "keep"
    recipes: Mapping[str, Recipe] = {"any": Recipe(epochs=1, batch_size=4, lr=1e-3)}

    def __init__(self, model: type[Conforming]) -> None:
        self.model = model

    def knobs(self, options: Nothing) -> Mapping[str, BaseDistribution]:
        return {"keep": IntDistribution(4, 16)}

    def attach(self, backbone: nn.Module, options: Nothing) -> DynamicModel:
        return self.model(backbone)

    def stages(self, model: DynamicModel, recipe: Recipe) -> Sequence[Stage]:
        def loss(model: nn.Module, batch: Batch) -> Losses:
            return Losses(F.cross_entropy(model(batch.images, Conforming.neutral).logits, batch.targets))

        return [Stage("all", 1, lambda model: [ParamGroup("all", list(model.parameters()), recipe.lr)], loss)]

    def explain(self, model: DynamicModel, images: Tensor, point: OperatingPoint) -> Sequence[Explanation]:
        found = model.predict(images, point)
        answers, macs = found.logits.argmax(1).tolist(), cost.macs(found.usage).tolist()
        return [Explanation(answer, "", spent) for answer, spent in zip(answers, macs, strict=True)]


class ExplainsOtherMacs(Around):
    def explain(self, model: DynamicModel, images: Tensor, point: OperatingPoint) -> Sequence[Explanation]:
        return [dataclasses.replace(one, macs=1) for one in super().explain(model, images, point)]


class ExplainsUndeclared(Around):
    explains = False


class ExplainsNothing(Around):
    explain = Method.explain
