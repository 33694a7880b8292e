"""Plain ViTs that lose tokens between attention and MLP: the loop, the ledger and the pictures that such methods share.

A method says what its blocks are asked for at a point (``plan``) and what one of them does (``attend``).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import torch
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from dynvit import cost
from dynvit.backbones.block import mlp_output
from dynvit.backbones.vit import PlainViT
from dynvit.interface import (
    BlockWork,
    DynamicModel,
    Explanation,
    Method,
    OperatingPoint,
    OptionsT,
    Part,
    Prediction,
    Trait,
)
from dynvit.ops.merging import joined
from dynvit.units import GIGA


class Reduction(Protocol):
    """What a block decided about its tokens."""

    def places(self, tokens: int) -> Tensor:
        """Where each of ``tokens`` tokens lies afterwards, −1 where it was dropped. Shape: (B, tokens), int64."""
        ...


@dataclass(frozen=True)
class Step:
    """What a block hands to its MLP: its tokens, their sizes, what it decided, and the work of deciding.

    ``attention`` is the work of the attention half, where it ran otherwise than whole.

    Shape: ``tokens`` (B, m, width); ``sizes`` (B, m), None for a size of 1 each.
    """

    tokens: Tensor
    sizes: Tensor | None = None
    reduction: Any = None
    parts: tuple[Part, ...] = ()
    attention: tuple[Part, ...] = ()


@dataclass(frozen=True)
class ReducedPrediction(Prediction):
    """What each block decided, None where it decided nothing."""

    reductions: tuple[Any, ...]


PlanT = TypeVar("PlanT")


class ReducingModel(DynamicModel, Generic[PlanT]):
    """A plain ViT some of whose blocks keep fewer tokens. Every image keeps the same number at one point.

    What was dropped or merged is gone in ``forward`` too, which is the executed form itself: its gradient is that of
    the choice as it was taken.
    """

    supports = frozenset({"frozen gates"})

    def __init__(self, backbone: nn.Module, needed_by: str, serves: frozenset[Trait] = frozenset()) -> None:
        super().__init__()
        self.backbone = backbone
        self.vit = PlainViT(backbone, needed_by=needed_by, serves=serves)

    @abstractmethod
    def plan(self, point: OperatingPoint) -> Sequence[PlanT | None]:
        """What each block is asked for at a point: a count, say; None for a block that decides nothing.

        Raises: ``InputError`` for a point out of range.
        """

    @abstractmethod
    def attend(self, block: Block, step: Step, wanted: PlanT | None, given: Any) -> Step:
        """The attention half of a block, and its decision; ``given`` is one that is to be repeated, or None.

        A block of which nothing is wanted is asked only where tokens have sizes; it decides nothing.
        """

    def forward(self, images: Tensor, point: OperatingPoint) -> ReducedPrediction:
        """Shape: images (B, 3, H, W) → logits (B, classes). Units: pixels in [0, 1]."""
        return self._run(images, point)

    predict = forward

    def forward_frozen(self, images: Tensor, point: OperatingPoint, decided: Prediction) -> ReducedPrediction:
        """``forward`` with the tokens that an earlier one kept and merged.

        Shape: images (B, 3, H, W) → logits (B, classes). Units: pixels in [0, 1].
        """
        assert isinstance(decided, ReducedPrediction)
        return self._run(images, point, decided.reductions)

    def _run(self, images: Tensor, point: OperatingPoint, given: Sequence[Any] = ()) -> ReducedPrediction:
        step = Step(self.vit.embed(images))
        entering, leaving, steps = list[int](), list[int](), list[Step]()
        for index, (block, wanted) in enumerate(zip(self.vit.blocks, self.plan(point), strict=True)):
            entering.append(step.tokens.shape[1])
            if wanted is None and step.sizes is None:
                step = Step(block(step.tokens))
            else:
                step = self.attend(block, step, wanted, given[index] if given else None)
                step = replace(step, tokens=mlp_output(block, step.tokens))
            leaving.append(step.tokens.shape[1])
            steps.append(step)
        extra = [part for each in steps for part in each.parts]
        otherwise = {index: each.attention for index, each in enumerate(steps) if each.attention}
        usage = self.vit.usage(images, entering, leaving, extra, otherwise)
        return ReducedPrediction(
            self.vit.classify(step.tokens, step.sizes), usage, tuple(each.reduction for each in steps)
        )


class ReducingMethod(Method[OptionsT]):
    """A method whose models are ``ReducingModel``: its images all cost alike, and what it kept can be drawn."""

    varies = ("tokens",)
    adaptive_cost = False
    explains = True
    by_default: ClassVar[bool] = False

    def explain(self, model: DynamicModel, images: Tensor, point: OperatingPoint) -> Sequence[Explanation]:
        """The tokens that each block's MLP processed, and the patches that each of them stands for."""
        assert isinstance(model, ReducingModel)
        prediction = model.predict(images, point)
        return explanations(model.vit, prediction, places_by_block(model.vit, prediction))


def places_by_block(vit: PlainViT, prediction: ReducedPrediction) -> list[Tensor]:
    """Where each patch lies among the tokens of each block's MLP, −1 where it was dropped.

    Shape: one (B, patches) a block, int64.
    """
    places = torch.arange(vit.shape.tokens, device=prediction.logits.device).expand(len(prediction.logits), -1)
    tokens, found = vit.shape.tokens, list[Tensor]()
    for reduction in prediction.reductions:
        if reduction is not None:
            later: Tensor = reduction.places(tokens)
            places, tokens = joined(places, later), int(later.max()) + 1
        found.append(places[:, vit.shape.prefix :])
    return found


def explanations(vit: PlainViT, prediction: Prediction, places: Sequence[Tensor]) -> list[Explanation]:
    """One explanation for each image, from where its patches lie in each block.

    Shape: ``places``, one (B, patches) a block. Units: step ``tokens`` without the class token.
    """
    spent, shape = cost.macs(prediction.usage).tolist(), vit.shape
    kept = [first_of_each(each).cpu() for each in places]
    found = []
    for image, answer in enumerate(prediction.logits.argmax(1).tolist()):
        grids = [mask[image].reshape(shape.grid) for mask in kept]
        groups = [each[image].cpu().reshape(shape.grid) for each in places]
        left = [int(grid.sum()) for grid in grids]
        text = f"{', '.join(map(str, sorted(set(left), reverse=True)))} of {shape.patches} tokens, in this order; "
        blocks = [BlockWork(True, shape.heads, shape.heads, *both) for both in zip(grids, groups, strict=True)]
        text += f"{spent[image] / GIGA:.4g} GMACs"
        found.append(Explanation(answer, text, spent[image], {"tokens": left}, blocks))
    return found


def first_of_each(places: Tensor) -> Tensor:
    """True at one patch of each token that still stands for patches: the first. Shape: (B, patches) → the same.

    >>> first_of_each(torch.tensor([[2, -1, 2, 1]])).tolist()
    [[True, False, False, True]]
    """
    patches = torch.arange(places.shape[1], device=places.device).expand_as(places)
    slots = places + 1  # of what was dropped, slot 0
    first = torch.full_like(places, places.shape[1]).repeat(1, 2)[:, : places.shape[1] + 2]
    first = first.scatter_reduce(1, slots, patches, "amin")
    return (first.gather(1, slots) == patches) & (places >= 0)
