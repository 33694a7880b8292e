"""Gaussian, shot and impulse noise. Images are float (H, W, 3) in [0, 1]; values outside are clipped later."""

from __future__ import annotations

import numpy as np

from dynvit.data.corruptions.fields import Floats


def gaussian_noise(image: Floats, rng: np.random.Generator, sigma: float) -> Floats:
    """Low light: normal noise of standard deviation ``sigma`` on every value."""
    return image + rng.normal(0, sigma, image.shape)


def shot_noise(image: Floats, rng: np.random.Generator, photons: float) -> Floats:
    """Light is discrete: a Poisson count, of which white has ``photons`` on average."""
    return rng.poisson(image * photons) / photons


def impulse_noise(image: Floats, rng: np.random.Generator, share: float) -> Floats:
    """Salt and pepper: a ``share`` of the values become 0 or 1."""
    hit = rng.random(image.shape) < share
    return np.where(hit, rng.integers(0, 2, image.shape), image)
