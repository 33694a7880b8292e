"""Every law on every method of ours; and the kit catches a liar by the very law that it breaks."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pytest
import timm
import torch
import torch.nn.functional as F
from optuna.distributions import BaseDistribution, IntDistribution
from torch import Tensor, nn

from dynvit.backbones.vit import PlainViT
from dynvit.interface import (
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
    methods,
)
from dynvit.testing import LAWS, Law, NotApplicable, Subject, check

OURS = [name for name in methods.names() if [o.distribution for o in methods.origins(name)] == ["dynvit"]]


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("name", OURS)
def test_the_law_holds(name: str, law: Law) -> None:
    subject = Subject.of(name)
    # A law may be left out where the method declares that it has nothing that the law speaks of, and nowhere else.
    nothing = {
        "neutral_point_equals_backbone": subject.model().neutral is None,
        "macs_fall_with_the_budget": subject.method.budget_knob is None,
        "gradients_reach_every_trained_part": not subject.method.recipes,
    }
    try:
        law(subject)
    except NotApplicable:
        assert nothing.get(law.__name__, False)
    else:
        assert not nothing.get(law.__name__, False)


@dataclass(frozen=True)
class Nothing:
    """No option."""


class Honest(DynamicModel):
    """Keeps the first patches from the middle of the network on; each liar changes one thing, most below neutral."""

    neutral = OperatingPoint(keep=16)

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

    def kept(self, point: OperatingPoint) -> int:
        return int(point.number("keep"))

    def dropping(self, point: OperatingPoint) -> bool:
        return point != Honest.neutral


class WrongNeutral(Honest):
    neutral = OperatingPoint(keep=8)


class OtherLogitsInPredict(Honest):
    def predict(self, images: Tensor, point: OperatingPoint) -> Prediction:
        honest = self(images, point)
        return dataclasses.replace(honest, logits=honest.logits * (1.001 if self.dropping(point) else 1))


class OtherUsageInForward(Honest):
    def forward(self, images: Tensor, point: OperatingPoint) -> Prediction:
        honest = super().forward(images, point)
        parts = self.vit.block_parts(0, 17) if self.dropping(point) else []
        return dataclasses.replace(honest, usage=Usage(len(images), (*honest.usage.parts, *parts)))

    def predict(self, images: Tensor, point: OperatingPoint) -> Prediction:
        return super().forward(images, point)


class BatchDependent(Honest):
    def forward(self, images: Tensor, point: OperatingPoint) -> Prediction:
        honest = super().forward(images, point)
        mean = honest.logits.mean(0, keepdim=True) if self.dropping(point) else 0.0
        return dataclasses.replace(honest, logits=honest.logits - 0.1 * mean)


class ClaimsTooFew(Honest):
    def forward(self, images: Tensor, point: OperatingPoint) -> Prediction:
        honest = super().forward(images, point)
        return dataclasses.replace(honest, usage=Usage(len(images), honest.usage.parts[:-1]))


class NotMonotone(Honest):
    def kept(self, point: OperatingPoint) -> int:
        wanted = super().kept(point)
        return 5 if 12 <= wanted < 16 else wanted


class Forgets(Honest):
    """What it drew when it was made is not in its state."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__(backbone)
        self.drawn = float(torch.rand(()))

    def forward(self, images: Tensor, point: OperatingPoint) -> Prediction:
        honest = super().forward(images, point)
        return dataclasses.replace(honest, logits=honest.logits * (self.drawn if self.dropping(point) else 1))


class UnreachedPart(Honest):
    def __init__(self, backbone: nn.Module) -> None:
        super().__init__(backbone)
        self.unused = nn.Linear(4, 4)


class DetachedImage(Honest):
    def forward(self, images: Tensor, point: OperatingPoint) -> Prediction:
        return super().forward(images.detach() if self.dropping(point) else images, point)


class OneImageDetached(Honest):
    def forward(self, images: Tensor, point: OperatingPoint) -> Prediction:
        if self.dropping(point):
            images = torch.cat([images[:1].detach(), images[1:]])
        return super().forward(images, point)


@dataclass(frozen=True)
class Richer(Prediction):
    """What a loss needs beyond logits, but only sometimes."""


class OtherTypeInTraining(Honest):
    def forward(self, images: Tensor, point: OperatingPoint) -> Prediction:
        honest = super().forward(images, point)
        return Richer(honest.logits, honest.usage) if self.training else honest


class Trial(Method[Nothing]):
    """A method around one of the models above."""

    Options = Nothing
    adaptive_cost = False
    budget_knob = "keep"
    recipes: Mapping[str, Recipe] = {"any": Recipe(epochs=1, batch_size=4, lr=1e-3)}

    def __init__(self, model: type[Honest]) -> None:
        self.model = model

    def knobs(self, options: Nothing) -> Mapping[str, BaseDistribution]:
        return {"keep": IntDistribution(4, 16)}

    def attach(self, backbone: nn.Module, options: Nothing) -> DynamicModel:
        return self.model(backbone)

    def stages(self, model: DynamicModel, recipe: Recipe) -> Sequence[Stage]:
        def loss(model: nn.Module, batch: Batch) -> Losses:
            return Losses(F.cross_entropy(model(batch.images, Honest.neutral).logits, batch.targets))

        return [Stage("all", 1, lambda model: [ParamGroup("all", list(model.parameters()), recipe.lr)], loss)]


LIARS: dict[type[Honest], str] = {
    WrongNeutral: "neutral point equals backbone",
    OtherLogitsInPredict: "forward equals predict",
    OtherUsageInForward: "forward equals predict",
    BatchDependent: "batch mates do not matter",
    ClaimsTooFew: "claimed macs are executed",
    NotMonotone: "macs fall with the budget",
    Forgets: "saving and loading changes nothing",
    UnreachedPart: "gradients reach every trained part",
    DetachedImage: "gradients reach the image",
    OneImageDetached: "gradients reach the image",
    OtherTypeInTraining: "forward returns one type",
}


def broken(model: type[Honest]) -> dict[str, str]:
    """The laws that the model breaks, each with what the kit says of it."""

    def small() -> nn.Module:
        torch.manual_seed(0)
        return timm.create_model("vit_digits", depth=2, embed_dim=12)

    dense = Subject.of("dense", batch=3)
    subject = dataclasses.replace(dense, method=Trial(model), options=Nothing(), make_backbone=small)
    verdicts = list(check(subject))
    assert len(verdicts) == len(LAWS)
    assert all(verdict.holds is not None for verdict in verdicts)
    return {verdict.law: verdict.reason for verdict in verdicts if not verdict.holds}


def test_the_honest_one_breaks_no_law() -> None:
    assert broken(Honest) == {}


@pytest.mark.parametrize("liar", LIARS, ids=lambda liar: liar.__name__)
def test_a_liar_is_caught_by_the_law_that_it_breaks_and_by_no_other(liar: type[Honest]) -> None:
    found = broken(liar)
    assert list(found) == [LIARS[liar]]
    # A law that fell over itself says nothing to the author of a method.
    assert not any("Error:" in reason for reason in found.values())


def test_each_law_catches_somebody() -> None:
    assert set(LIARS.values()) == {law.__name__.replace("_", " ") for law in LAWS}
