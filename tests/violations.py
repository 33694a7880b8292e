"""A model that breaks no law, and models that each break one: what the conformance kit must tell apart."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dynvit import cost
from dynvit.backbones.vit import PlainViT
from dynvit.budgets import mean_macs
from dynvit.errors import InputError
from dynvit.interface import (
    Batch,
    DynamicModel,
    OperatingPoint,
    Prediction,
    Usage,
)


@dataclass(frozen=True)
class Nothing:
    """No option."""


class Conforming(DynamicModel):
    """Keeps the first patches from the middle block on; each violation changes one thing, most below neutral."""

    neutral = OperatingPoint(keep=16)
    supports = frozenset({"frozen gates", "surrogate logits", "compute proxy"})

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone, self.vit = backbone, PlainViT(backbone)

    def forward(self, images: Tensor, point: OperatingPoint) -> Prediction:
        tokens, counts = self.vit.embed(images), []
        for index, block in enumerate(self.vit.blocks):
            if index == self.vit.shape.depth // 2:
                tokens = tokens[:, : 1 + self.kept(point)]
            tokens = block(tokens)
            counts.append(tokens.shape[1])
        parts = [part for index, n in enumerate(counts) for part in self.vit.block_parts(index, n)]
        whole = (*self.vit.embed_parts(), *parts, *self.vit.classify_parts())
        return Prediction(self.vit.classify(tokens), Usage(len(images), whole))

    def predict(self, images: Tensor, point: OperatingPoint) -> Prediction:
        return self(images, point)

    def forward_frozen(self, images: Tensor, point: OperatingPoint, decided: Prediction) -> Prediction:
        return self(images, point)

    def surrogate_logits(self, images: Tensor, point: OperatingPoint, prediction: Prediction) -> Tensor:
        return Conforming.forward(self, images, point).logits  # whatever a subclass's own forward does

    def compute_proxy(self, images: Tensor, point: OperatingPoint, prediction: Prediction) -> Tensor:
        return Conforming.surrogate_logits(self, images, point, prediction).square().sum(1)

    def kept(self, point: OperatingPoint) -> int:
        return int(point.number("keep"))

    def dropping(self, point: OperatingPoint) -> bool:
        return point != Conforming.neutral


class WrongNeutral(Conforming):
    neutral = OperatingPoint(keep=8)


class OtherLogitsInPredict(Conforming):
    def predict(self, images: Tensor, point: OperatingPoint) -> Prediction:
        conforming = self(images, point)
        return dataclasses.replace(conforming, logits=conforming.logits * (1.001 if self.dropping(point) else 1))


class OtherUsageInForward(Conforming):
    def forward(self, images: Tensor, point: OperatingPoint) -> Prediction:
        conforming = super().forward(images, point)
        parts = self.vit.block_parts(0, 17) if self.dropping(point) else []
        return dataclasses.replace(conforming, usage=Usage(len(images), (*conforming.usage.parts, *parts)))

    def predict(self, images: Tensor, point: OperatingPoint) -> Prediction:
        return super().forward(images, point)


class BatchDependent(Conforming):
    def forward(self, images: Tensor, point: OperatingPoint) -> Prediction:
        conforming = super().forward(images, point)
        mean = conforming.logits.mean(0, keepdim=True) if self.dropping(point) else 0.0
        return dataclasses.replace(conforming, logits=conforming.logits - 0.1 * mean)


class ClaimsTooFew(Conforming):
    def forward(self, images: Tensor, point: OperatingPoint) -> Prediction:
        conforming = super().forward(images, point)
        return dataclasses.replace(conforming, usage=Usage(len(images), conforming.usage.parts[:-1]))


class DenseInBatches(Conforming):
    """One image at a time it drops what it claims to drop; in batches of ``most`` it computes everything."""

    most = 2

    def predict(self, images: Tensor, point: OperatingPoint) -> Prediction:
        conforming = super().predict(images, point)
        if len(images) >= self.most:
            super().predict(images, Conforming.neutral)
        return conforming


class DenseInLargeBatches(DenseInBatches):
    most = 33


class ConstantUsage(Conforming):
    """Claims what the middle of its range costs, whatever it does."""

    def forward(self, images: Tensor, point: OperatingPoint) -> Prediction:
        claimed = super().forward(images, OperatingPoint(keep=10) if self.dropping(point) else point).usage
        return dataclasses.replace(super().forward(images, point), usage=claimed)


class BatchDependentWhereMany(BatchDependent):
    """In a batch as the bench has them only."""

    def forward(self, images: Tensor, point: OperatingPoint) -> Prediction:
        return super().forward(images, point) if len(images) > 16 else Conforming.forward(self, images, point)


class RemembersTheLast(Conforming):
    """Its answers depend on how often it was asked."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__(backbone)
        self.asked = 0

    def predict(self, images: Tensor, point: OperatingPoint) -> Prediction:
        self.asked += len(images) > 1
        conforming = super().predict(images, point)
        return dataclasses.replace(conforming, logits=conforming.logits * (1 + 1e-3 * (self.asked // 3)))


class AnswersFromACache(Conforming):
    """What it answered to as many images at the point before."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__(backbone)
        self.cache: dict[tuple[int, OperatingPoint], Prediction] = {}

    def predict(self, images: Tensor, point: OperatingPoint) -> Prediction:
        key = len(images), point
        if key not in self.cache:
            self.cache[key] = super().predict(images, point)
        return self.cache[key]


class ByTheOrderOfImages(Conforming):
    def forward(self, images: Tensor, point: OperatingPoint) -> Prediction:
        conforming = super().forward(images, point)
        place = torch.arange(len(images))[:, None] if self.dropping(point) else 0
        return dataclasses.replace(conforming, logits=conforming.logits + 1e-3 * place)


class OtherAtTheEnd(Conforming):
    """``predict`` leaves ``forward`` where all that can be dropped is."""

    def predict(self, images: Tensor, point: OperatingPoint) -> Prediction:
        conforming = self(images, point)
        return dataclasses.replace(conforming, logits=conforming.logits * (1.001 if point == self.lowest else 1))

    lowest = OperatingPoint(keep=4)


class SweepsDense(Conforming):
    """What is recorded is better than what is attacked and timed."""

    def sweep(self, images: Tensor, points: Sequence[OperatingPoint]) -> Iterable[Prediction]:
        for point in points:
            yield dataclasses.replace(self.predict(images, point), logits=self.predict(images, self.neutral).logits)


class SweepsLess(Conforming):
    def sweep(self, images: Tensor, points: Sequence[OperatingPoint]) -> Iterable[Prediction]:
        return (self.predict(images, point) for point in points[:-1])


class OtherTypeAtAPoint(Conforming):
    def forward(self, images: Tensor, point: OperatingPoint) -> Prediction:
        conforming = super().forward(images, point)
        rich = self.training and self.dropping(point)
        return Richer(conforming.logits, conforming.usage) if rich else conforming


class NotMonotone(Conforming):
    def kept(self, point: OperatingPoint) -> int:
        wanted = super().kept(point)
        return 5 if 12 <= wanted < 16 else wanted


class Forgets(Conforming):
    """What it drew when it was made is not in its state."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__(backbone)
        self.drawn = float(torch.rand(()))

    def forward(self, images: Tensor, point: OperatingPoint) -> Prediction:
        conforming = super().forward(images, point)
        return dataclasses.replace(conforming, logits=conforming.logits * (self.drawn if self.dropping(point) else 1))


class UnreachedPart(Conforming):
    def __init__(self, backbone: nn.Module) -> None:
        super().__init__(backbone)
        self.unused = nn.Linear(4, 4)


class BehindAScaleOfZero(Conforming):
    """A part that is reached once its scale has moved, as an α that starts at 0."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__(backbone)
        self.scale, self.part = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.ones(10))

    def forward(self, images: Tensor, point: OperatingPoint) -> Prediction:
        conforming = super().forward(images, point)
        return dataclasses.replace(conforming, logits=conforming.logits + self.scale * self.part.square().cumsum(0))


class DetachedImage(Conforming):
    def forward(self, images: Tensor, point: OperatingPoint) -> Prediction:
        return super().forward(images.detach() if self.dropping(point) else images, point)


class OneImageDetached(Conforming):
    def forward(self, images: Tensor, point: OperatingPoint) -> Prediction:
        if self.dropping(point):
            images = torch.cat([images[:1].detach(), images[1:]])
        return super().forward(images, point)


@dataclass(frozen=True)
class Richer(Prediction):
    """What a loss needs beyond logits, but only sometimes."""


class OtherTypeInTraining(Conforming):
    def forward(self, images: Tensor, point: OperatingPoint) -> Prediction:
        conforming = super().forward(images, point)
        return Richer(conforming.logits, conforming.usage) if self.training else conforming


class SolvesBudgets(Conforming):
    """Finds its own points, by trying all of them."""

    supports = Conforming.supports | {"budgets"}

    def feasible_range(self, calibration: Sequence[Batch]) -> tuple[float, float]:
        return self.spent(4, calibration), self.spent(16, calibration)

    def solve(self, budgets: Sequence[float], calibration: Sequence[Batch]) -> Sequence[OperatingPoint]:
        low, high = self.feasible_range(calibration)
        if not all(low <= budget <= high for budget in budgets):
            raise InputError(f"a budget must be {low:.4g} to {high:.4g} MACs")
        return [OperatingPoint(keep=self.best(budget, calibration)) for budget in budgets]

    def best(self, budget: float, calibration: Sequence[Batch]) -> int:
        return max(keep for keep in range(4, 17) if self.spent(keep, calibration) <= budget)

    def spent(self, keep: int, calibration: Sequence[Batch]) -> float:
        return mean_macs(self, OperatingPoint(keep=keep), calibration)


class OverBudget(SolvesBudgets):
    def best(self, budget: float, calibration: Sequence[Batch]) -> int:
        return min(16, super().best(budget, calibration) + 1)


class SolvesAlways(SolvesBudgets):
    """The same point for every budget keeps each of them."""

    def best(self, budget: float, calibration: Sequence[Batch]) -> int:
        return 4


class SolvesForAccuracy(SolvesBudgets):
    supports = SolvesBudgets.supports | {"accurate budgets"}

    def solve_for_accuracy(self, budgets: Sequence[float], calibration: Sequence[Batch]) -> Sequence[OperatingPoint]:
        return self.solve(budgets, calibration)


class OverBudgetForAccuracy(SolvesForAccuracy):
    def solve_for_accuracy(self, budgets: Sequence[float], calibration: Sequence[Batch]) -> Sequence[OperatingPoint]:
        self.solve(budgets, calibration)
        return [Conforming.neutral for _ in budgets]


class TakesAnyBudget(SolvesBudgets):
    def solve(self, budgets: Sequence[float], calibration: Sequence[Batch]) -> Sequence[OperatingPoint]:
        low, high = self.feasible_range(calibration)
        return super().solve([min(max(budget, low), high) for budget in budgets], calibration)


class DeclaresAndOverridesNothing(Conforming):
    forward_frozen = DynamicModel.forward_frozen


class DeclaresUnknown(Conforming):
    supports = Conforming.supports | {"frozen_gates"}  # type: ignore[assignment]


class DeclaresExplanations(Conforming):
    supports = Conforming.supports | {"explanations"}


class OverridesUndeclared(Conforming):
    def solve(self, budgets: Sequence[float], calibration: Sequence[Batch]) -> Sequence[OperatingPoint]:
        return [Conforming.neutral for _ in budgets]


class ForgetsDecisions(Conforming):
    def forward_frozen(self, images: Tensor, point: OperatingPoint, decided: Prediction) -> Prediction:
        return self(images, Conforming.neutral)


class DetachedSurrogate(Conforming):
    def surrogate_logits(self, images: Tensor, point: OperatingPoint, prediction: Prediction) -> Tensor:
        return prediction.logits.detach()


class ConstantProxy(Conforming):
    def compute_proxy(self, images: Tensor, point: OperatingPoint, prediction: Prediction) -> Tensor:
        return 0.0 * prediction.logits.sum(1)


class CountedProxy(Conforming):
    def compute_proxy(self, images: Tensor, point: OperatingPoint, prediction: Prediction) -> Tensor:
        return cost.macs(prediction.usage).double()


VIOLATIONS: dict[type[Conforming], str] = {
    WrongNeutral: "neutral point equals backbone",
    OtherLogitsInPredict: "forward equals predict",
    OtherUsageInForward: "forward equals predict",
    BatchDependent: "results do not depend on the batch",
    ClaimsTooFew: "claimed macs are executed",
    DenseInBatches: "claimed macs are executed",
    DenseInLargeBatches: "claimed macs are executed",
    ByTheOrderOfImages: "results do not depend on the batch",
    OtherAtTheEnd: "forward equals predict",
    SweepsDense: "sweeping equals predicting",
    SweepsLess: "sweeping equals predicting",
    OtherTypeAtAPoint: "forward returns one type",
    SolvesAlways: "solved budgets are kept",
    OverBudgetForAccuracy: "budgets solved for accuracy are kept",
    NotMonotone: "macs fall with the budget",
    Forgets: "saving and loading changes nothing",
    UnreachedPart: "gradients reach every trained part",
    DetachedImage: "gradients reach the image",
    OneImageDetached: "gradients reach the image",
    OtherTypeInTraining: "forward returns one type",
    DeclaresUnknown: "declared capabilities are overridden",
    DeclaresExplanations: "declared capabilities are overridden",
    OverridesUndeclared: "overridden capabilities are declared",
    OverBudget: "solved budgets are kept",
    TakesAnyBudget: "solved budgets are kept",
    ForgetsDecisions: "frozen gates repeat decisions",
    DetachedSurrogate: "surrogate logits reach the image",
    ConstantProxy: "compute proxies reach the image",
    CountedProxy: "compute proxies reach the image",
}
