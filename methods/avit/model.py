"""A-ViT on a plain ViT: tokens halt one by one, and what has halted is not computed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dynvit import cost
from dynvit.backbones.block import ragged_block
from dynvit.backbones.strength import StrengthModel
from dynvit.backbones.vit import PlainViT
from dynvit.errors import InputError
from dynvit.interface import Batch, OperatingPoint, Prediction
from dynvit.ops.halting import Halting
from dynvit.ops.precision import at_least_float32
from dynvit.ops.ragged import Ragged
from dynvit.ops.thresholds import log_odds

from .options import AViTOptions


@dataclass(frozen=True)
class AViTPrediction(Prediction):
    """What A-ViT is trained on, beside its logits.

    Shape: ``steps`` (B, 1 + N), the blocks that each token ran in, int64; ``ponder`` (B, 1 + N), these and the
    remainder; ``weights`` (B, blocks), those of the class token; ``scores`` (blocks − 1), the mean halting score over
    all tokens, 0 for one that has halted.
    """

    steps: Tensor
    ponder: Tensor
    weights: Tensor
    scores: Tensor


class AViTModel(StrengthModel):
    """A plain ViT whose tokens halt. It adds no parameters, and trains in the form that it runs in."""

    neutral = OperatingPoint(halting=0.0)
    trained_point = OperatingPoint(halting=0.5)
    cheapest = OperatingPoint(halting=1.0)
    name = "avit"

    def __init__(self, backbone: nn.Module, options: AViTOptions) -> None:
        super().__init__()
        self.backbone, self.vit, self.options = backbone, PlainViT(backbone, needed_by="method avit"), options
        self.center = options.center_for(self.vit.shape.width)

    def forward(self, images: Tensor, point: OperatingPoint) -> AViTPrediction:
        """Shape: images (B, 3, H, W) → logits (B, classes). Units: pixels in [0, 1]."""
        return self._run(images, point)

    predict = forward

    def forward_frozen(self, images: Tensor, point: OperatingPoint, decided: Prediction) -> AViTPrediction:
        """``forward`` with the tokens that an earlier one ran on, and its weights of the class token.

        Shape: images (B, 3, H, W) → logits (B, classes). Units: pixels in [0, 1].
        """
        assert isinstance(decided, AViTPrediction)
        return self._run(images, point, decided)

    def _run(self, images: Tensor, point: OperatingPoint, given: AViTPrediction | None = None) -> AViTPrediction:
        shift, tokens = self._shift(point), self.vit.embed(images)
        (batch, count, width), depth = tokens.shape, self.vit.shape.depth
        rows, ragged = tokens.flatten(0, 1), Ragged.whole(batch, count, tokens.device)
        halting = Halting(batch, count, at_least_float32(tokens[0, 0, 0].detach()), self.options.ends == "class")
        mixed, counts, scores = tokens.new_zeros(batch, width), list[cost.Count](), list[Tensor]()
        weights = halting.ponder.new_zeros(batch, depth)
        for index, block in enumerate(self.vit.blocks):
            counts.append(halting.counts())
            if not len(halting.rows):
                continue
            rows = ragged_block(block, rows, ragged)
            score = torch.sigmoid(self.options.scale * (at_least_float32(rows[:, 0]) + shift) - self.center)
            if index < depth - 1:
                scores.append(score.sum() / (batch * count))
            owners, first = halting.owners, halting.first
            last = torch.ones_like(score) if index == depth - 1 else score
            weight, running = halting.step(last, self.options.epsilon, None if given is None else given.steps)
            places = owners[first], torch.full_like(owners[first], index)
            own = weight[first] if given is None else given.weights.detach()[places]
            weights = weights.index_put(places, own)
            mixed = mixed.index_add(0, owners[first], (own.unsqueeze(1) * rows[first]).to(mixed.dtype))
            if len(halting.rows) < len(rows):
                rows, ragged = rows[running], halting.ragged() if len(halting.rows) else ragged
        told = torch.stack([*scores, *[weights.new_zeros(())] * (depth - 1 - len(scores))])
        logits, usage = self.vit.classify(mixed.unsqueeze(1)), self.vit.usage(images, counts)
        return AViTPrediction(logits, usage, halting.steps, halting.ponder, weights, told)

    def path(self, calibration: Sequence[Batch]) -> Callable[[float], OperatingPoint]:
        """The odds of halting, times the strength."""
        return lambda strength: OperatingPoint(halting=1 - 1 / (1 + strength))

    def _shift(self, point: OperatingPoint) -> float:
        """What the knob adds to the channel that is read."""
        halting = point.number("halting")
        if not 0 <= halting <= 1:
            raise InputError(f"knob halting must be from 0 (never) to 1 (after the first block), got {halting:g}")
        return log_odds(float(halting))
