"""Contrast, elastic transform, pixelate and JPEG. Images are float (H, W, 3) in [0, 1]."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image
from scipy import ndimage

from dynvit.data.corruptions.fields import Floats, smooth_mirrored


def contrast(image: Floats, rng: np.random.Generator, kept: float) -> Floats:
    """Each channel moved towards its mean."""
    mean = image.mean((0, 1), keepdims=True)
    return np.asarray(mean + kept * (image - mean))


def elastic_transform(image: Floats, rng: np.random.Generator, strength: float, sigma: float, affine: float) -> Floats:
    """Stretched as a whole, then locally: displacements are uniform noise smoothed by ``sigma``.

    Units: all three as shares of the edge; ``affine`` is how far each of three points may move.
    """
    height, width = image.shape[:2]
    edge = min(height, width)
    rows, columns = np.mgrid[:height, :width].astype(np.float64)
    image = _sample(image, *_stretched(rows, columns, edge, affine * edge, rng), "mirror")
    if strength == 0:
        return image
    right, down = (
        strength * edge * smooth_mirrored(rng.uniform(-1, 1, (height, width)), sigma * edge, truncate=3)
        for _ in range(2)
    )
    return _sample(image, rows + down, columns + right, "reflect")


def _stretched(
    rows: Floats, columns: Floats, edge: int, reach: float, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Where each pixel comes from under the affine map that moves three points by up to ``reach`` pixels."""
    centre = np.array([rows.shape[0] // 2, rows.shape[1] // 2], np.float64)
    arm = max(edge // 3, 1)
    points = centre + arm * np.array([[1, 1], [1, -1], [-1, -1]])
    moved = points + rng.uniform(-reach, reach, points.shape)
    back, *_ = np.linalg.lstsq(np.c_[moved, np.ones(3)], points, rcond=None)
    source = np.stack([rows, columns, np.ones_like(rows)], -1) @ back
    return source[..., 0], source[..., 1]


def _sample(image: Floats, rows: Floats, columns: Floats, mode: str) -> Floats:
    """Each channel at fractional positions, interpolated linearly."""
    channels = [
        ndimage.map_coordinates(channel, (rows, columns), order=1, mode=mode) for channel in image.T.swapaxes(1, 2)
    ]
    return np.stack(channels, -1)


def pixelate(image: Floats, rng: np.random.Generator, scale: float) -> Floats:
    """Reduced by ``scale`` and enlarged again, both by area."""
    height, width = image.shape[:2]
    small = max(1, int(width * scale)), max(1, int(height * scale))
    picture = to_picture(image).resize(small, Image.Resampling.BOX).resize((width, height), Image.Resampling.BOX)
    return to_floats(picture)


def jpeg_compression(image: Floats, rng: np.random.Generator, quality: int) -> Floats:
    """Compressed and decompressed."""
    stored = io.BytesIO()
    to_picture(image).save(stored, "JPEG", quality=quality)
    with Image.open(stored) as picture:
        return to_floats(picture.convert("RGB"))


def to_floats(picture: Image.Image) -> Floats:
    """Shape: RGB image → (H, W, 3). Units: [0, 1]."""
    return np.asarray(picture, np.float64) / 255


def to_picture(image: Floats) -> Image.Image:
    """The nearest image of 8 bits a channel; values outside [0, 1] are clipped.

    Shape: (H, W, 3) → RGB image.
    """
    return Image.fromarray(np.rint(255 * np.clip(image, 0, 1)).astype(np.uint8))
