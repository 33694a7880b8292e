"""ATS: sample tokens by their significance, as many as an image needs (Fayyaz et al., arXiv 2111.15667)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from optuna.distributions import BaseDistribution, IntDistribution
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from dynvit import cost
from dynvit.backbones.block import joined_output, mlp_output, ragged_attention_inputs, ragged_block
from dynvit.backbones.reducing import explanations
from dynvit.backbones.vit import PlainViT
from dynvit.errors import InputError
from dynvit.interface import (
    Citation,
    DynamicModel,
    Explanation,
    Method,
    OperatingPoint,
    Part,
    Prediction,
    Trait,
    register_method,
)
from dynvit.ops.attention import SoftmaxForm, class_row_attention, published_softmax
from dynvit.ops.ragged import Ragged, by_equal_counts
from dynvit.ops.sampling import inverse_transform_sample
from dynvit.ops.schedule import blocks_of

OVERSAMPLING = 8
"""The knob's upper end, as a multiple of the patches: K → ∞ keeps every token but the least."""


@dataclass(frozen=True)
class ATSOptions:
    """What ATS leaves to choose (arXiv 2111.15667)."""

    stages: tuple[int, ...] = ()
    """Blocks that sample, counted from 0. Empty: all from the first quarter on (3 to 11 of 12)."""
    softmax: SoftmaxForm = "exact"
    """Attention as it is, or with the public code's ε (for comparing with it)."""


@dataclass(frozen=True)
class ATSPrediction(Prediction):
    """What each sampling block kept. Shape: ``kept``, one (B, n) a block, bool, among the tokens that it was given."""

    kept: tuple[Tensor | None, ...]


class ATSModel(DynamicModel):
    """A plain ViT that keeps the distinct tokens among K samples, each image by itself."""

    supports = frozenset({"frozen gates"})

    def __init__(self, backbone: nn.Module, options: ATSOptions) -> None:
        super().__init__()
        self.backbone, self.vit = backbone, PlainViT(backbone, needed_by="method ats", serves=ATS.serves)
        self.softmax, depth = options.softmax, self.vit.shape.depth
        self.stages = blocks_of(options.stages or range(depth // 4, depth), depth)

    def forward(self, images: Tensor, point: OperatingPoint) -> ATSPrediction:
        """Shape: images (B, 3, H, W) → logits (B, classes). Units: pixels in [0, 1]."""
        return self._run(images, point)

    predict = forward

    def forward_frozen(self, images: Tensor, point: OperatingPoint, decided: Prediction) -> ATSPrediction:
        """``forward`` with the tokens that an earlier one sampled.

        Shape: images (B, 3, H, W) → logits (B, classes). Units: pixels in [0, 1].
        """
        assert isinstance(decided, ATSPrediction)
        return self._run(images, point, decided.kept)

    def _run(self, images: Tensor, point: OperatingPoint, given: Sequence[Tensor | None] = ()) -> ATSPrediction:
        samples = int(point.number("samples"))
        if samples < 1:
            raise InputError(f"knob samples must be at least 1, got {samples}")
        tokens = self.vit.embed(images)
        rows, ragged = tokens.flatten(0, 1), Ragged.whole(len(tokens), tokens.shape[1], tokens.device)
        entering, leaving, kept = list[cost.Count](), list[cost.Count](), list[Tensor | None]()
        attention: dict[int, list[Part]] = {}
        for index, block in enumerate(self.vit.blocks):
            entering.append(ragged.counts)
            mask = None
            if index in self.stages:
                earlier = given[index] if given else None
                rows, ragged, mask = self._sampled(block, rows, ragged, samples, earlier)
                attention[index] = self._attention_parts(index, entering[-1], ragged.counts)
            elif self.softmax == "exact":
                rows = ragged_block(block, rows, ragged)
            else:
                rows = mlp_output(block, joined_output(block, rows, self._attended(block, rows, ragged)[0]))
            kept.append(mask)
            leaving.append(ragged.counts)
        logits = self.vit.classify(ragged.first_rows(rows).unsqueeze(1))
        return ATSPrediction(logits, self.vit.usage(images, entering, leaving, attention=attention), tuple(kept))

    def _attention_parts(self, index: int, tokens: cost.Count, kept: cost.Count) -> list[Part]:
        """All tokens attend, as in the public code; only those that stay are projected."""
        *attended, _ = self.vit.attention_parts(index, tokens)
        s = self.vit.shape
        return [*attended, cost.Linear(f"blocks.{index}.attn.proj", kept, s.heads * s.head_dim, s.width)]

    def _sampled(
        self, block: Block, rows: Tensor, ragged: Ragged, samples: int, given: Tensor | None
    ) -> tuple[Tensor, Ragged, Tensor]:
        """A block that keeps what is sampled, between attention and projection.

        Args:
            block: of a plain ViT.
            rows: the images' tokens, (rows, width).
            ragged: whose they are.
            samples: K.
            given: what an earlier run kept, or None.

        Returns: the rows that stay, whose they are, and what was kept: (B, most), bool.
        """
        joined, significance = self._attended(block, rows, ragged)
        if given is None:
            prefix = self.vit.shape.prefix
            drawn = inverse_transform_sample(significance[:, prefix:], ragged.present[:, prefix:], samples)
            given = torch.cat([ragged.present[:, :prefix], drawn], dim=1)
        chosen, left = ragged.only(given)
        stream = joined_output(block, rows.index_select(0, chosen), joined.index_select(0, chosen))
        return mlp_output(block, stream), left, given

    def _attended(self, block: Block, rows: Tensor, ragged: Ragged) -> tuple[Tensor, Tensor]:
        """The heads' outputs, joined, and each token's significance: s_j ∝ A_{1,j}·‖V_j‖.

        It is the class attention, summed over heads, times the length of the value.

        Shape: rows (rows, width) → (rows, heads·head_dim), (B, most).
        """
        both = by_equal_counts(rows, ragged, lambda own, even: self._attended_alike(block, own, even))
        return both[:, :-1], ragged.spread(both[:, -1:])[..., 0]

    def _attended_alike(self, block: Block, rows: Tensor, even: Ragged) -> Tensor:
        """``_attended`` of images of equal counts, significance as a last column. Shape: (rows, heads·head_dim + 1)."""
        queries, keys, values = ragged_attention_inputs(block, rows, even)
        if self.softmax == "exact":
            mixed, weights = class_row_attention(queries, keys, values, block.attn.scale, None)
        else:
            every = published_softmax(queries * block.attn.scale @ keys.transpose(-2, -1), even.present)
            mixed, weights = every @ values, every[:, :, 0]
        significance = weights.sum(1) * values.square().sum((1, 3)).sqrt()
        return torch.cat([even.rows(mixed.transpose(1, 2).flatten(2)), significance.reshape(-1, 1)], dim=1)


@register_method("ats")
class ATS(Method[ATSOptions]):
    """Adaptive token sampling on any plain ViT."""

    summary = "sample tokens by significance, as many as an image needs; no training"
    venue, year, varies = "ECCV", 2022, ("tokens",)
    paper = Citation(
        "Adaptive Token Sampling For Efficient Vision Transformers",
        (
            "Fayyaz, Mohsen",
            "Abbasi Koohpayegani, Soroush",
            "Rezaei Jafari, Farnoush",
            "Sengupta, Sunando",
            "Vaezi Joze, Hamid Reza",
            "Sommerlade, Eric",
            "Pirsiavash, Hamed",
            "Gall, Jürgen",
        ),
        arxiv="2111.15667",
    )
    Options = ATSOptions
    budget_knob = "samples"
    explains = True
    serves: ClassVar[frozenset[Trait]] = frozenset({"registers", "gated MLPs"})
    by_default: ClassVar[bool] = False

    def knobs(self, options: ATSOptions, backbone: nn.Module) -> Mapping[str, BaseDistribution]:
        """``samples``: K, drawn in each sampling block; the paper's is at most the number of tokens."""
        patches = PlainViT(backbone, "method ats", serves=self.serves).shape.patches
        step = max(1, patches // 16)
        return {"samples": IntDistribution(step, step * (OVERSAMPLING * patches // step), step=step)}

    def attach(self, backbone: nn.Module, options: ATSOptions) -> ATSModel:
        """A plain ViT with a class token."""
        return ATSModel(backbone, options)

    def explain(self, model: DynamicModel, images: Tensor, point: OperatingPoint) -> Sequence[Explanation]:
        """The tokens that each block's MLP processed."""
        assert isinstance(model, ATSModel)
        prediction, shape = model(images, point), model.vit.shape
        there = torch.arange(shape.tokens, device=images.device).expand(len(images), -1)
        found = list[Tensor]()
        for mask in prediction.kept:
            if mask is not None:
                place = (mask.cumsum(1) - 1).masked_fill(~mask, -1)
                there = torch.where(there < 0, there, place.gather(1, there.clamp(min=0)))
            found.append(there[:, shape.prefix :])
        return explanations(model.vit, prediction, found)
