"""Snow, frost, fog and brightness. Images are float (H, W, 3) in [0, 1]; lengths in pixels."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from dynvit.data.corruptions.fields import Floats, centre_zoom, crop_randomly, plasma, smear

_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
_FROST_TINT = np.array([0.92, 0.97, 1.0])
_LEAST_EDGE = 2  # of a frost field, pixels


def snow(
    image: Floats,
    rng: np.random.Generator,
    mean: float,
    spread: float,
    zoom: float,
    threshold: float,
    radius: float,
    sigma: float,
    kept: float,
) -> Floats:
    """Flakes falling within 45° of the vertical, in front of a paler image of which ``kept`` is left."""
    flakes = centre_zoom(rng.normal(mean, spread, image.shape[:2]), zoom)
    flakes = np.where(flakes < threshold, 0, np.clip(flakes, 0, 1))
    falling = smear(flakes, radius, sigma, rng.uniform(-135, -45))
    falling = (falling + np.rot90(falling, 2))[..., None]
    pale = np.maximum(image, (image @ _LUMA)[..., None] * 1.5 + 0.5)
    return kept * image + (1 - kept) * pale + falling


def frost(image: Floats, rng: np.random.Generator, kept: float, ice: float) -> Floats:
    """Ice on the lens: ``kept`` of the image under ``ice`` of a drawn pattern of frost.

    The published sets lay photographs of frost over the image. This frost is drawn, and is therefore another
    corruption of the same kind and strength: its numbers are not comparable to published ones.
    """
    return kept * image + ice * frost_pattern(image.shape[0], image.shape[1], rng)[..., None] * _FROST_TINT


def frost_pattern(height: int, width: int, rng: np.random.Generator) -> Floats:
    """Needles of ice in patches: seeds smeared along the three axes of a hexagon, denser where a cloud is.

    Shape: (height, width). Units: whiteness in [0, 1]; over images its mean is 0.64 and within one it spreads by 0.15,
    about as in the photographs of the published sets.
    """
    edge = max(height, width, _LEAST_EDGE)
    axis, length = rng.uniform(0, 180), max(edge / 9, 1.0)
    needles = np.zeros((height, width))
    for turn in (0, 60, 120):
        seeds = (rng.random((height, width)) < 0.035) * rng.random((height, width))
        there = axis + turn + rng.uniform(-8, 8)
        needles = np.maximum(needles, smear(seeds, length, length, there) + smear(seeds, length, length, there + 180))
    patches = crop_randomly(plasma(edge, 1.6, rng), height, width, rng)
    grain = ndimage.gaussian_filter(rng.random((height, width)), 0.6)
    ice = patches * (0.35 + 1.5 * needles / max(needles.max(), np.finfo(float).tiny)) + 0.25 * grain
    spread = max(float(ice.std()), np.finfo(float).tiny)
    return np.clip(rng.uniform(0.48, 0.8) + 0.15 * (ice - ice.mean()) / spread, 0, 1)


def fog(image: Floats, rng: np.random.Generator, thickness: float, decay: float) -> Floats:
    """Fog as clouds of plasma; the brightest value stays."""
    height, width = image.shape[:2]
    clouds = plasma(max(height, width), decay, rng)[:height, :width, None]
    brightest = image.max()
    return np.asarray((image + thickness * clouds) * (brightest / (brightest + thickness)))


def brightness(image: Floats, rng: np.random.Generator, shift: float) -> Floats:
    """Daylight: the value of HSV raised by ``shift``; hue and saturation stay.

    With those kept, red, green and blue grow by the same factor; black becomes grey.
    """
    value = image.max(-1, keepdims=True)
    raised = np.minimum(value + shift, 1)
    return np.where(value > 0, image * (raised / np.where(value > 0, value, 1)), raised)
