"""Operations that several corruptions share: smoothing, zooming, motion, plasma. Arrays in, arrays out.

Images are float (H, W, C) or (H, W) in [0, 1].
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft, signal

Floats = NDArray[np.float64]


def centre_zoom(image: Floats, factor: float) -> Floats:
    """The centre of an image, enlarged by ``factor`` with linear interpolation, as large as before.

    Shape: (H, W, ...) → the same.
    """
    for axis in (0, 1):
        size = image.shape[axis]
        kept = int(np.ceil(size / factor))
        grown = round(kept * factor)
        first, trim = (size - kept) // 2, (grown - size) // 2
        # The corners of the crop are the corners of what it grows to.
        at = (np.arange(size) + trim) * ((kept - 1) / max(grown - 1, 1))
        low = np.minimum(at.astype(int), kept - 1)
        share = (at - low).reshape([-1 if a == axis else 1 for a in range(image.ndim)])
        high = np.minimum(low + 1, kept - 1)
        image = (1 - share) * image.take(first + low, axis) + share * image.take(first + high, axis)
    return image


def motion_weights(radius: float, sigma: float) -> Floats:
    """How much each step along a motion adds: half a Gaussian, 2 ⌈radius⌉ + 1 steps.

    >>> [round(w, 3) for w in motion_weights(1, 1.0).tolist()]
    [0.574, 0.348, 0.078]
    """
    weights = np.exp(-(np.arange(2 * int(np.ceil(radius)) + 1) ** 2) / (2 * sigma**2))
    return np.asarray(weights / weights.sum())


def smear(image: Floats, radius: float, sigma: float, degrees: float) -> Floats:
    """Motion in one direction: every pixel is a weighted mean of those along a line from it, edges repeated.

    Shape: (H, W, ...) → the same. Units: ``radius`` and ``sigma`` pixels.
    """
    weights = motion_weights(radius, sigma)
    angle = np.deg2rad(degrees)
    height, width = image.shape[:2]
    reach = len(weights)
    padded = np.pad(image, [(reach, reach), (reach, reach)] + [(0, 0)] * (image.ndim - 2), mode="edge")
    smeared = np.zeros_like(image)
    for step, weight in enumerate(weights):
        down = reach + int(np.ceil(step * np.sin(angle) - 0.5))
        right = reach + int(np.ceil(step * np.cos(angle) - 0.5))
        smeared += weight * padded[down : down + height, right : right + width]
    return smeared


def convolve_mirrored(image: Floats, kernel: Floats) -> Floats:
    """Each channel convolved with a symmetric kernel, mirrored at the edges without repeating them.

    Shape: image (H, W, C), kernel (k, k) with odd k → (H, W, C).
    """
    reach = kernel.shape[0] // 2
    padded = np.pad(image, ((reach, reach), (reach, reach), (0, 0)), mode="reflect")
    return np.asarray(signal.oaconvolve(padded, kernel[:, :, None], mode="valid", axes=(0, 1)))


def smooth_mirrored(field: Floats, sigma: float, truncate: float) -> Floats:
    """A Gaussian, cut off at ``truncate`` sigmas, over a field that is mirrored at its edges.

    The cosine basis diagonalises this convolution, so that a sigma as large as the field costs what a small one does.

    Shape: (H, W) → the same. Units: ``sigma`` pixels.
    """
    reach = int(truncate * sigma + 0.5)
    weights = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * sigma**2))
    weights /= weights.sum()
    spectrum = fft.dctn(field, type=2, norm="ortho")
    for axis, size in enumerate(field.shape):
        waves = np.cos(np.pi * np.outer(np.arange(size), np.arange(-reach, reach + 1)) / size)
        spectrum *= np.expand_dims(waves @ weights, 1 - axis)
    return np.asarray(fft.idctn(spectrum, type=2, norm="ortho"))


def plasma(size: int, decay: float, rng: np.random.Generator) -> Floats:
    """Clouds by the diamond-square algorithm, periodic, over [0, 1].

    Every halving of the step divides the noise by ``decay``².

    Shape: (2^k, 2^k), the first power of two from ``size`` up.
    """
    edge = 1 << max(1, (size - 1).bit_length())
    clouds = np.zeros((edge, edge))
    step, strength = edge, 1.0
    while step >= 2:
        half = step // 2
        corners = clouds[::step, ::step]
        middles = (corners + np.roll(corners, -1, 0) + np.roll(corners, -1, 1) + np.roll(corners, (-1, -1), (0, 1))) / 4
        middles += strength * rng.uniform(-1, 1, middles.shape)
        clouds[half::step, half::step] = middles
        across = (corners + np.roll(corners, -1, 1) + middles + np.roll(middles, 1, 0)) / 4
        clouds[::step, half::step] = across + strength * rng.uniform(-1, 1, across.shape)
        down = (corners + np.roll(corners, -1, 0) + middles + np.roll(middles, 1, 1)) / 4
        clouds[half::step, ::step] = down + strength * rng.uniform(-1, 1, down.shape)
        step, strength = half, strength / decay**2
    clouds -= clouds.min()
    return np.asarray(clouds / max(clouds.max(), np.finfo(float).tiny))


def crop_randomly(field: Floats, height: int, width: int, rng: np.random.Generator) -> Floats:
    """A window of a field, anywhere in it."""
    top = rng.integers(field.shape[0] - height + 1)
    left = rng.integers(field.shape[1] - width + 1)
    return field[top : top + height, left : left + width]
