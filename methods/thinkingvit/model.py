"""Two or three rounds of one nested ViT: what a round is unsure of is thought over again, wider."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from dynvit import cost
from dynvit.exits.model import ExitingModel
from dynvit.exits.thresholds import Confidences, Row, solve_optimal, solve_shared
from dynvit.interface import OperatingPoint, Part

from .entropy import ALWAYS, top_entropy
from .nested import NestedViT
from .options import ThinkingViTOptions


@dataclass(frozen=True)
class Recycled:
    """What a round hands on. Shape: ``embedded`` (B, n, width so far), ``tokens`` the same, after the final norm."""

    embedded: Tensor
    tokens: Tensor

    def of(self, images: Tensor) -> Recycled:
        """The same for some of the images. Shape: images (b,), indices."""
        return Recycled(self.embedded[images], self.tokens[images])


class ThinkingViTModel(ExitingModel):
    """Every round is the backbone's first heads; the last is all of it, with the tokens of the round before added.

    With ``alpha`` at 0, as it starts, the last round is the backbone. A threshold is of the entropy, in nats: an image
    leaves below it; 0 keeps every image. Source: arXiv 2507.10800.
    """

    step = "round"
    allowed = (0.0, math.inf)
    keeps = 0.0
    precision = torch.float64

    def __init__(self, backbone: nn.Module, options: ThinkingViTOptions) -> None:
        super().__init__()
        self.backbone, self.nested = backbone, NestedViT(backbone, "method thinkingvit")
        self.rounds = options.rounds_on(self.nested.heads)
        self.widths = tuple(self.nested.width(heads) for heads in self.rounds)
        self.alpha = nn.ParameterList(nn.Parameter(torch.zeros(1)) for _ in self.rounds[1:])
        self.recycle = nn.ModuleList(nn.Linear(narrow, wide) for narrow, wide in pairwise(self.widths))
        self.count("rounds", [self.parts(index) for index in range(len(self.rounds))])

    def run_exit(
        self, index: int, images: Tensor, handed: Recycled | None, *, executed: bool
    ) -> tuple[Tensor, Recycled | None]:
        """One round. Shape: images (B, 3, H, W) → logits (B, classes)."""
        nested, narrow = self.nested, self.widths[index - 1] if index else 0
        embedded = nested.embed(images, narrow, self.widths[index])
        tokens = embedded
        if handed is not None:
            embedded = torch.cat([handed.embedded, embedded], dim=2)
            tokens = embedded + self.alpha[index - 1] * self.recycle[index - 1](handed.tokens)
        tokens = nested.run(tokens, self.rounds[index])
        if index == len(self.rounds) - 1:
            return nested.classify(nested.norm(tokens[:, 0])), None
        tokens = nested.norm(tokens)
        return nested.classify(tokens[:, 0]), Recycled(embedded, tokens)

    def score(self, exit_logits: Tensor, images: Tensor) -> Tensor:
        """The entropy of the round's ten likeliest classes. Shape: (rounds so far, B, classes) → (B,). Units: nats."""
        return top_entropy(exit_logits[-1])

    def leaves(self, scores: Tensor, thresholds: Tensor) -> Tensor:
        """Where the entropy is below the threshold, and not at it. Shape: (…, B), (…, 1) → bool."""
        return scores < thresholds

    def confidence_of(self, scores: Tensor) -> Tensor:
        """Entropies as confidences: 0 at ``ALWAYS``, 1 at 0."""
        return 1 - scores / ALWAYS

    def point_of(self, confidences: Row) -> OperatingPoint:
        """The point whose thresholds are these confidences. Units: thresholds in nats."""
        return super().point_of(tuple((1 - confidence) * ALWAYS for confidence in confidences))

    def solved(self, known: Confidences, budgets: Sequence[float]) -> list[Row]:
        """One threshold for all rounds, as published. Units: MACs per image."""
        return solve_shared(known, budgets)

    def solved_for_accuracy(self, known: Confidences, budgets: Sequence[float]) -> list[Row]:
        """A threshold for each round, never less accurate than one for all. Units: MACs per image."""
        return solve_optimal(known, budgets, also=solve_shared(known, budgets))

    def parts(self, index: int) -> list[Part]:
        """The work of a round: each channel of the patch embedding once, the projection no wider than the round."""
        narrow, wide = self.widths[index - 1] if index else 0, self.widths[index]
        projection = [cost.Linear("recycle", 1 + self.nested.vit.shape.patches, narrow, wide)] if index else []
        return [*self.nested.parts(self.rounds[index], wide - narrow), *projection]
