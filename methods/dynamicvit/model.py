"""DynamicViT on a plain ViT: masked for training and attacks, packed for inference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dynvit.backbones.block import masked_attention_output, mlp_output
from dynvit.backbones.vit import PlainViT
from dynvit.cost import Count
from dynvit.errors import InputError
from dynvit.interface import DynamicModel, OperatingPoint, Part, Prediction, Usage
from dynvit.ops.gates import gumbel_gate, straight_through
from dynvit.ops.tokens import keep_patches, mask_of, top_k

from .options import DynamicViTOptions, stage_counts
from .predictor import Predictor, log_odds

Decide = Callable[[int, Callable[[], Tensor], Tensor], Tensor | None]
"""(stage, log-odds of keeping each patch when called, mask so far) → mask, or None where nothing is dropped."""


@dataclass(frozen=True)
class DynamicViTPrediction(Prediction):
    """What DynamicViT is trained on, beside its logits.

    Shape: ``masks``, one (B, N) a stage, 1 where a patch is still kept, straight-through; ``patches`` (B, N, C), the
    patch tokens after the final norm, dropped ones too; ``kept`` (B, N), the last mask without gradient.
    """

    masks: tuple[Tensor, ...]
    patches: Tensor
    kept: Tensor


class DynamicViTModel(DynamicModel):
    """A plain ViT with a prediction module before some of its blocks.

    Every image keeps the same number of patches; each has its own. At ρ = 1, and at any stage that has nothing to drop,
    no predictor runs.
    """

    neutral = OperatingPoint(keep_ratio=1.0)
    supports = frozenset({"frozen gates"})

    def __init__(self, backbone: nn.Module, options: DynamicViTOptions) -> None:
        super().__init__()
        self.backbone = backbone
        self.options = options
        self.trained_point: OperatingPoint = OperatingPoint(keep_ratio=options.keep_ratio)
        self.vit = PlainViT(backbone, needed_by="method dynamicvit")
        self.prune_at = options.prune_at(self.vit.shape.depth)
        width = self.vit.shape.width
        if width % 4:
            raise InputError(f"the backbone's width must be a multiple of 4 for method dynamicvit, got {width}")
        self.predictors = nn.ModuleList(Predictor(width) for _ in self.prune_at)

    def forward(self, images: Tensor, point: OperatingPoint) -> DynamicViTPrediction:
        """All tokens are computed, dropped ones are no keys.

        In train mode masks are sampled from the predictors, whatever the point (arXiv 2106.02034, §3.3). In eval
        mode each stage keeps its best, as ``predict`` does, and gradients pass straight through the choice.

        Shape: images (B, 3, H, W) → logits (B, classes). Units: pixels in [0, 1].
        """
        if self.training:
            return self.masked(images, self._sample)
        counts = self._counts(point)

        def best(stage: int, score: Callable[[], Tensor], kept: Tensor) -> Tensor | None:
            count = counts[stage]
            if count is None:
                return None
            scores = score()
            hard = mask_of(top_k(scores, count, among=kept), scores)
            return straight_through(hard, torch.sigmoid(scores)) * kept

        return self.masked(images, best, counts)

    def forward_frozen(self, images: Tensor, point: OperatingPoint, decided: Prediction) -> DynamicViTPrediction:
        """``forward`` with the patches that an earlier one kept.

        Shape: images (B, 3, H, W) → logits (B, classes). Units: pixels in [0, 1].
        """
        assert isinstance(decided, DynamicViTPrediction)
        counts, masks = self._counts(point), decided.masks
        return self.masked(images, lambda stage, *_: None if counts[stage] is None else masks[stage].detach(), counts)

    def predict(self, images: Tensor, point: OperatingPoint) -> Prediction:
        """Dropped tokens are removed.

        Shape: images (B, 3, H, W) → logits (B, classes). Units: pixels in [0, 1].
        """
        counts = self._counts(point)
        tokens = self.vit.embed(images)
        for index, block in enumerate(self.vit.blocks):
            if index in self.prune_at:
                stage = self.prune_at.index(index)
                count = counts[stage]
                if count is not None:
                    scores = log_odds(self.predictors[stage](tokens[:, 1:]))
                    tokens = keep_patches(tokens, top_k(scores, count))
            tokens = block(tokens)
        return Prediction(self.vit.classify(tokens), self.usage(images, counts))

    def masked(
        self, images: Tensor, decide: Decide, counts: Sequence[int | None] | None = None
    ) -> DynamicViTPrediction:
        """The masked path under any rule of which patches are kept: sampled, the best, or given.

        ``counts`` are the patches that each stage keeps, where they are known and the same for all images.

        Shape: images (B, 3, H, W) → logits (B, classes). Units: pixels in [0, 1].
        """
        tokens = self.vit.embed(images)
        kept = torch.ones_like(tokens[:, 1:, 0])
        dropping = self.options.softmax == "published"  # which adds its ε even where everything is kept
        masks: list[Tensor | None] = []
        for index, block in enumerate(self.vit.blocks):
            if index in self.prune_at:
                stage = len(masks)
                decided = decide(stage, self._scorer(stage, tokens, kept, first=stage == 0), kept)
                masks.append(decided)
                if decided is not None:
                    kept, dropping = decided, True
            if dropping:
                policy = torch.cat([torch.ones_like(kept[:, :1]), kept], dim=1)
                tokens = mlp_output(block, masked_attention_output(block, tokens, policy, self.options.softmax))
            else:
                tokens = block(tokens)
        if counts is None:
            counts_ran: Sequence[Count | None] = [None if m is None else m.detach().sum(1).long() for m in masks]
        else:
            counts_ran = counts
        return DynamicViTPrediction(
            logits=self.vit.classify(tokens),
            usage=self.usage(images, counts_ran),
            masks=_filled(masks, kept),
            patches=self.vit.model.norm(tokens[:, 1:]),
            kept=kept.detach(),
        )

    def usage(self, images: Tensor, counts: Sequence[Count | None]) -> Usage:
        """What runs where each stage keeps ``counts`` patches, one number or one an image; None: it does not run."""
        present: Count = 1 + self.vit.shape.patches
        predictors, tokens = list[Part](), list[Count]()
        for index in range(self.vit.shape.depth):
            if index in self.prune_at:
                stage = self.prune_at.index(index)
                count = counts[stage]
                if count is not None:
                    predictors += self.predictors[stage].parts(f"predictors.{stage}", present - 1)  # type: ignore[operator]
                    present = 1 + count
            tokens.append(present)
        return self.vit.usage(images, tokens, extra=predictors)

    def _scorer(self, stage: int, tokens: Tensor, kept: Tensor, first: bool) -> Callable[[], Tensor]:
        return lambda: log_odds(self.predictors[stage](tokens[:, 1:], None if first else kept))

    def _sample(self, stage: int, score: Callable[[], Tensor], kept: Tensor) -> Tensor:
        return gumbel_gate(score(), self.options.temperature) * kept

    def _counts(self, point: OperatingPoint) -> tuple[int | None, ...]:
        ratio = point.number("keep_ratio")
        if not 0 < ratio <= 1:
            raise InputError(f"knob keep_ratio must be above 0 and at most 1, got {ratio}")
        return stage_counts(self.vit.shape.patches, ratio, len(self.prune_at))


def _filled(masks: Sequence[Tensor | None], last: Tensor) -> tuple[Tensor, ...]:
    """A stage that dropped nothing has the mask of the stage before it."""
    filled: list[Tensor] = []
    for mask in masks:
        before = filled[-1] if filled else torch.ones_like(last)
        filled.append(before if mask is None else mask)
    return tuple(filled)
