"""Image files to explanations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from dynvit.data.images import read_image as read_image
from dynvit.data.pixels import to_pixels
from dynvit.data.transforms import evaluation_transform
from dynvit.explain.trained import Trained
from dynvit.finite import check_logits
from dynvit.interface import Explanation, OperatingPoint

BATCH = 64


def explain_images(trained: Trained, images: Sequence[Image.Image], point: OperatingPoint) -> list[Explanation]:
    """What the model decided about each image, cut and scaled as its checkpoint says."""
    transform, found = evaluation_transform(trained.opened.preprocessing), list[Explanation]()
    for start in range(0, len(images), BATCH):
        stacked = torch.stack([transform(image) for image in images[start : start + BATCH]])
        found.extend(explain_pixels(trained, stacked, point))
    return found


def explain_pixels(trained: Trained, images: Tensor, point: OperatingPoint) -> Sequence[Explanation]:
    """The same for images as the model takes them. Shape: images (B, 3, H, W), uint8."""
    opened = trained.opened
    assert opened.method.explains
    pixels = to_pixels(images.to(trained.device))
    with torch.inference_mode():
        # An explanation says the answer alone, which has one of logits that are no numbers too.
        check_logits(opened.model.predict(pixels, point).logits, f"model {opened.label!r}", point)
        return opened.method.explain(opened.model, pixels, point)


def as_seen(trained: Trained, image: Image.Image) -> NDArray[np.uint8]:
    """The part of an image that the model sees, at its size. Shape: (H, W, 3)."""
    seen: NDArray[np.uint8] = evaluation_transform(trained.opened.preprocessing)(image).permute(1, 2, 0).numpy()
    return seen
