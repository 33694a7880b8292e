"""Image files to explanations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image, UnidentifiedImageError

from dynvit.data.transforms import evaluation_transform
from dynvit.errors import InputError
from dynvit.evaluation.accuracy import to_pixels
from dynvit.explain.trained import Trained
from dynvit.interface import Explains, Explanation, OperatingPoint

BATCH = 64


def read_image(path: Path) -> Image.Image:
    """The image as RGB. Raises: ``InputError`` for a file that is missing or no image."""
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except FileNotFoundError:
        raise InputError(f"no image {str(path)!r}: give files that exist") from None
    except UnidentifiedImageError:
        raise InputError(f"{str(path)!r} is not an image that Pillow reads: give PNG, JPEG, WebP or the like") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"image {str(path)!r} cannot be read: {error}") from error


def explain_images(trained: Trained, images: Sequence[Image.Image], point: OperatingPoint) -> list[Explanation]:
    """What the model decided about each image, cut and scaled as its checkpoint says."""
    assert isinstance(trained.method, Explains)
    transform = evaluation_transform(trained.config.preprocessing)
    found: list[Explanation] = []
    with torch.inference_mode():
        for start in range(0, len(images), BATCH):
            stacked = torch.stack([transform(image) for image in images[start : start + BATCH]])
            pixels = to_pixels(stacked.to(trained.device))
            found.extend(trained.method.explain(trained.model, pixels, point))
    return found
