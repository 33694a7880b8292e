"""A few of a split's images, drawn by seed: what speed is measured on."""

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

    So any part of them has the split's own mix of easy and hard, up to chance, whatever the order of the shards.

    Shape: uint8 (N, 3, H, W). Units: pixels 0..255.
    """
    keys = [sample.key for sample in source.manifest.samples]
    chosen = source.subset(ranked(keys, seed, purpose)[:count])
    return torch.cat([batch.images for batch in PixelBatches(chosen, preprocessing)])
