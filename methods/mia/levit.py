"""MIA-Former's adapter of LeViT. The paper has results but no description: docs/methods/mia.md explains ours."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor, nn

from dynvit import cost
from dynvit.backbones.levit import LeViT, LeViTBlockShape, attention_parts, mlp_parts
from dynvit.interface import Part

from .blocks import BlockForm
from .controller import GateShape
from .gates import Masks
from .levit_block import masked_levit_block, packed_levit_block
from .options import MIAOptions


class LeViTAdapter:
    """LeViT's residual blocks as blocks of heads and tokens; stem, shrinking blocks and head always run.

    Raises: ``InputError`` that names what in a backbone is not a plain LeViT.
    """

    def __init__(self, backbone: nn.Module, options: MIAOptions) -> None:
        self.levit = LeViT(backbone, needed_by="method mia")
        shapes = self.levit.shapes
        self.indices = tuple(index for index, shape in enumerate(shapes) if not shape.shrinks)
        self.shrinking = {i: index - 1 for i, index in enumerate(self.indices) if index and shapes[index - 1].shrinks}
        self.shapes = tuple(shapes[index] for index in self.indices)
        self.gates = tuple(GateShape(s.width, s.heads, s.grid, class_token=False) for s in self.shapes)
        self.norms = tuple(m for m in backbone.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d))
        self.form = BlockForm(
            channels=options.attention_channels, heads=options.decides("heads"), tokens=options.decides("tokens")
        )

    def embed(self, images: Tensor) -> Tensor:
        """Shape: images (B, 3, H, W) → tokens (B, N, C). Units: pixels in [0, 1].

        Every forward begins here, and batch norms use their running statistics in every mode: those of a batch would
        include what the masks drop, and an image's logits would depend on the others.
        """
        for norm in self.norms:
            norm.eval()
        return self.levit.embed(images)

    def enter(self, index: int, tokens: Tensor) -> Tensor:
        """The shrinking block before this one, if any, on the whole grid. Shape: (B, N, C) → (B, N', C')."""
        return self.levit.blocks[self.shrinking[index]](tokens) if index in self.shrinking else tokens

    def split(self, tokens: Tensor) -> tuple[Tensor, None]:
        """All tokens are patches."""
        return tokens, None

    def masked(self, index: int, tokens: Tensor, masks: Masks) -> Tensor:
        """Shape: (B, N, C) → the same."""
        return masked_levit_block(self._block(index), tokens, masks, self.form)

    def executed(self, index: int, tokens: Tensor, masks: Masks) -> Tensor:
        """Shape: (B, N, C) → the same."""
        if all(bool(mask.all()) for mask in (masks.depth, masks.heads, masks.tokens)):
            return self.levit.blocks[self.indices[index]](tokens)
        return packed_levit_block(self._block(index), tokens, masks, self.form)

    def classify(self, tokens: Tensor) -> Tensor:
        """Shape: tokens (B, N, C) → logits (B, classes)."""
        return self.levit.classify(tokens)

    def embed_parts(self) -> list[Part]:
        """The work of the stem."""
        return self.levit.embed_parts()

    def enter_parts(self, index: int) -> list[Part]:
        """The work of a shrinking block."""
        return self.levit.block_parts(self.shrinking[index]) if index in self.shrinking else []

    def block_parts(self, index: int, runs: cost.Count, heads: cost.Count, tokens: cost.Count) -> list[Part]:
        """The work of a block in part."""
        shape, rows = self.shapes[index], runs * tokens
        channels, units = _shared(shape, shape.width, heads), _shared(shape, shape.hidden, heads)
        seen = channels if self.form.channels == "kept" else shape.width
        return [*attention_parts(shape, rows, heads, seen, tokens), *mlp_parts(shape, rows, channels, units)]

    def kind(self, index: int) -> LeViTBlockShape:
        """Its sizes, those of its stage."""
        return replace(self.shapes[index], name="")

    def classify_parts(self, tokens: cost.Count) -> list[Part]:
        """The work of ``classify``, on all tokens whatever was dropped."""
        return self.levit.classify_parts()

    def _block(self, index: int) -> nn.Module:
        return self.levit.blocks[self.indices[index]].module


def _shared(shape: LeViTBlockShape, width: int, heads: cost.Count) -> cost.Count:
    """The channels of ``heads`` heads, and those of no head."""
    each, rest = divmod(width, shape.heads)
    return heads * each + rest
