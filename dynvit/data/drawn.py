"""Some images of a split, drawn by seed: speed is measured on them."""

from __future__ import annotations

import torch
from torch import Tensor

from dynvit.data.pixels import PixelBatches
from dynvit.data.source import ImageSource
from dynvit.data.splits import ranked
from dynvit.data.transforms import Preprocessing


def drawn_pixels(
    source: ImageSource, preprocessing: Preprocessing, count: int, seed: int, purpose: str = "speed"
) -> Tensor:
    """``count`` images of the split, or all where it has fewer, in an order that only ``seed`` decides.

    Any part of them has easy and hard images as the split has, up to chance, whatever the order of the shards.

    Shape: uint8 (N, 3, H, W). Units: pixels 0..255.
    """
    keys = [sample.key for sample in source.manifest.samples]
    chosen = source.subset(ranked(keys, seed, purpose)[:count])
    return torch.cat([batch.images for batch in PixelBatches(chosen, preprocessing)])
