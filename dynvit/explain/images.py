"""Image files to explanations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from dynvit.data.pixels import to_pixels
from dynvit.data.transforms import evaluation_transform
from dynvit.errors import InputError
from dynvit.explain.trained import Trained
from dynvit.interface import Explanation, OperatingPoint

BATCH = 64


def read_image(path: Path) -> Image.Image:
    """The image as RGB. Raises: ``InputError`` for a file that is missing or no image."""
    try:
        with Image.open(path) as image:
            if image.mode.startswith("I;16"):  # convert() would cut it off at 255
                return Image.fromarray((np.asarray(image) // 257).astype(np.uint8)).convert("RGB")
            return image.convert("RGB")
    except FileNotFoundError:
        raise InputError(f"no image {str(path)!r}: give files that exist") from None
    except UnidentifiedImageError:
        raise InputError(f"{str(path)!r} is not an image that Pillow reads: give PNG, JPEG, WebP or the like") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"image {str(path)!r} cannot be read: {error}") from error


def explain_images(trained: Trained, images: Sequence[Image.Image], point: OperatingPoint) -> list[Explanation]:
    """What the model decided about each image, cut and scaled as its checkpoint says."""
    transform, found = evaluation_transform(trained.opened.preprocessing), list[Explanation]()
    for start in range(0, len(images), BATCH):
        stacked = torch.stack([transform(image) for image in images[start : start + BATCH]])
        found.extend(explain_pixels(trained, stacked, point))
    return found


def explain_pixels(trained: Trained, images: Tensor, point: OperatingPoint) -> Sequence[Explanation]:
    """The same for images as the model takes them. Shape: images (B, 3, H, W), uint8."""
    assert trained.opened.method.explains
    with torch.inference_mode():
        return trained.opened.method.explain(trained.opened.model, to_pixels(images.to(trained.device)), point)


def as_seen(trained: Trained, image: Image.Image) -> NDArray[np.uint8]:
    """The part of an image that the model sees, at its size. Shape: (H, W, 3)."""
    seen: NDArray[np.uint8] = evaluation_transform(trained.opened.preprocessing)(image).permute(1, 2, 0).numpy()
    return seen
