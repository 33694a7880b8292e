"""Any timm image classifier as it is: for what runs a backbone whole, and looks at none of its blocks."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from dynvit import cost
from dynvit.backbones.adapter import BackboneAdapter, adapter_for
from dynvit.backbones.build import image_size
from dynvit.backbones.dense import dense_macs
from dynvit.backbones.normalize import Normalize
from dynvit.errors import InputError
from dynvit.interface import Part


class WholeBackbone:
    """A backbone without parts: its MACs are what torch executes for one image of its size.

    ``embed`` normalises, ``classify`` is the model, and there is no block between.
    """

    blocks: tuple[nn.Module, ...] = ()
    block_tokens: tuple[int, ...] = ()

    def __init__(self, model: nn.Module) -> None:
        self.model, self.normalize, self.size = model, Normalize.of(model), image_size(model)
        self._parts = [cost.Executed(type(model).__name__, dense_macs(model))]

    def embed(self, images: Tensor) -> Tensor:
        """Shape: images (B, 3, H, W) → the same. Units: pixels in [0, 1].

        Raises: ``InputError`` for another size than that for which the work was counted.
        """
        if tuple(images.shape[2:]) != self.size:
            raise InputError(
                f"images must be {self.size[0]}×{self.size[1]} pixels, for which the backbone's work was counted, got "
                f"{images.shape[2]}×{images.shape[3]}: make it for that size"
            )
        return self.normalize(images)

    def classify(self, tokens: Tensor) -> Tensor:
        """Shape: what ``embed`` gives → logits (B, classes)."""
        logits: Tensor = self.model(tokens)
        return logits

    def parts(self) -> Sequence[Part]:
        """One part, the whole."""
        return self._parts


def adapter_or_whole(model: nn.Module, needed_by: str) -> BackboneAdapter:
    """The adapter of a family that is known from inside, which says what each part costs; else the model as it is."""
    try:
        return adapter_for(model, needed_by)
    except InputError:
        return WholeBackbone(model)
