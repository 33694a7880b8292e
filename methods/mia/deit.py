"""MIA-Former's adapter of plain ViTs with a class token: DeiT, and the small ViTs."""

from __future__ import annotations

from torch import Tensor, nn

from dynvit import cost
from dynvit.backbones.packed import not_grouped
from dynvit.backbones.vit import PlainViT
from dynvit.errors import InputError
from dynvit.interface import Part

from .blocks import BlockForm, masked_block
from .controller import GateShape
from .executed import packed_block
from .gates import Masks
from .options import MIAOptions


class DeiTAdapter:
    """A plain ViT as blocks of heads and tokens; the class token is always kept.

    Raises: ``InputError`` that names an unsupported backbone, and what in it is not plain.
    """

    def __init__(self, backbone: nn.Module, options: MIAOptions) -> None:
        self.vit = PlainViT(backbone, "method mia", takes="a LeViT, or a plain timm ViT with a class token")
        shape = self.vit.shape
        reason = not_grouped(self.vit)
        if reason:
            raise InputError(f"method mia cannot serve this backbone: {reason}")
        gate = GateShape(shape.width, shape.heads, shape.grid, class_token=True)
        self.gates = (gate,) * shape.depth
        self.form = BlockForm(
            options.norm, options.attention_channels, heads=options.decides("heads"), tokens=options.decides("tokens")
        )

    def embed(self, images: Tensor) -> Tensor:
        """Shape: images (B, 3, H, W) → tokens (B, 1 + N, C). Units: pixels in [0, 1]."""
        return self.vit.embed(images)

    def enter(self, index: int, tokens: Tensor) -> Tensor:
        """The tokens as they are: nothing runs between the blocks."""
        return tokens

    def split(self, tokens: Tensor) -> tuple[Tensor, Tensor | None]:
        """Patches and class token. Shape: (B, 1 + N, C) → (B, N, C), (B, C)."""
        return tokens[:, 1:], tokens[:, 0]

    def masked(self, index: int, tokens: Tensor, masks: Masks) -> Tensor:
        """Shape: (B, 1 + N, C) → the same."""
        return masked_block(self.vit.blocks[index], tokens, masks, self.form)

    def executed(self, index: int, tokens: Tensor, masks: Masks) -> Tensor:
        """Shape: (B, 1 + N, C) → the same."""
        return packed_block(self.vit.blocks[index], tokens, masks, self.form)

    def classify(self, tokens: Tensor) -> Tensor:
        """Shape: tokens (B, 1 + N, C) → logits (B, classes)."""
        return self.vit.classify(tokens)

    def embed_parts(self) -> list[Part]:
        """The work of ``embed``."""
        return self.vit.embed_parts()

    def enter_parts(self, index: int) -> list[Part]:
        """None."""
        return []

    def block_parts(self, index: int, runs: cost.Count, heads: cost.Count, tokens: cost.Count) -> list[Part]:
        """The work of a block in part: h·(4nC² + 2n²C) for the attention, h²·8nC² for the MLP (§3.1)."""
        s, name, rows = self.vit.shape, f"blocks.{index}", runs * tokens
        inner, channels, units = heads * s.head_dim, heads * (s.width // s.heads), heads * (s.hidden // s.heads)
        seen = channels if self.form.channels == "kept" else s.width
        return [
            cost.Normalization(f"{name}.norm1", rows * self._normed(seen)),
            cost.Linear(f"{name}.attn.qkv", rows, seen, 3 * inner),
            cost.Attention(f"{name}.attn", rows, tokens, heads, s.head_dim),
            cost.Linear(f"{name}.attn.proj", rows, inner, seen),
            cost.Normalization(f"{name}.norm2", rows * self._normed(channels)),
            cost.Linear(f"{name}.mlp.fc1", rows, channels, units),
            cost.Linear(f"{name}.mlp.fc2", rows, units, channels),
        ]

    def kind(self, index: int) -> int:
        """One: all blocks are alike."""
        return 0

    def classify_parts(self, tokens: cost.Count) -> list[Part]:
        """The work of ``classify``."""
        return self.vit.classify_parts(tokens)

    def _normed(self, seen: cost.Count) -> cost.Count:
        return seen if self.form.norm == "kept" else self.vit.shape.width
