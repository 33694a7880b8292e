"""Defocus, frosted glass, motion and zoom. Images are float (H, W, 3) in [0, 1]; lengths in pixels."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from dynvit.data.corruptions.fields import Floats, centre_zoom, convolve_mirrored, smear

_LARGE_DISK = 8


def defocus_blur(image: Floats, rng: np.random.Generator, radius: float, softness: float) -> Floats:
    """A lens out of focus: a disk, its edge softened by a Gaussian of sigma ``softness``."""
    return convolve_mirrored(image, disk(radius, softness))


def disk(radius: float, softness: float) -> Floats:
    """The kernel of a lens out of focus. Softening it may add half a percent to its sum, as in the published sets."""
    large = radius > _LARGE_DISK
    reach = int(radius) if large else _LARGE_DISK
    at = np.arange(-reach, reach + 1)
    flat = (at[:, None] ** 2 + at[None] ** 2 <= radius**2).astype(np.float64)
    flat /= flat.sum()
    soft = np.arange(-2, 3) if large else np.arange(-1, 2)
    weights = np.exp(-(soft**2) / (2 * softness**2))
    weights /= weights.sum()
    for axis in (0, 1):
        flat = ndimage.correlate1d(flat, weights, axis=axis, mode="mirror")
    return np.asarray(flat)


def glass_blur(image: Floats, rng: np.random.Generator, sigma: float, reach: int, rounds: int) -> Floats:
    """Frosted glass: blurred, pixels displaced by up to ``reach``, ``rounds`` times, and blurred again.

    A pixel is overwritten by its neighbour and not exchanged with it: so the published sets were made, in whose code
    the exchange reads what it has just written.
    """
    height, width = image.shape[:2]
    blurred = np.floor(255 * ndimage.gaussian_filter(image, (sigma, sigma, 0), mode="nearest")) / 255
    rows, columns = range(height - reach, reach, -1), range(width - reach, reach, -1)
    source = list(range(height * width))
    # One after the other, from the lower right: a pixel may pass on what it was given.
    for _ in range(rounds):
        moves = rng.integers(-reach, reach, (len(rows) * len(columns), 2))
        offsets = iter((moves[:, 0] * width + moves[:, 1]).tolist())
        for row in rows:
            for place in range(row * width + width - reach, row * width + reach, -1):
                source[place] = source[place + next(offsets)]
    displaced = blurred.reshape(height * width, -1)[source].reshape(blurred.shape)
    return np.asarray(ndimage.gaussian_filter(displaced, (sigma, sigma, 0), mode="nearest"))


def motion_blur(image: Floats, rng: np.random.Generator, radius: float, sigma: float) -> Floats:
    """A moving camera, in a direction within 45° of the horizontal."""
    return smear(image, radius, sigma, rng.uniform(-45, 45))


def zoom_blur(image: Floats, rng: np.random.Generator, step: float, steps: int) -> Floats:
    """A camera moving ahead: the mean of the image and of it enlarged by 1, 1 + ``step``, …, ``steps`` of them."""
    zoomed = sum((centre_zoom(image, 1 + step * k) for k in range(steps)), start=image)
    return np.asarray(zoomed / (steps + 1))
