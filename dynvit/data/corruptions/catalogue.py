"""The fifteen common corruptions at five severities, with the published parameters.

Source: Hendrycks & Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and Perturbations", 2019
(arXiv 1903.12261); the parameters are those of the published sets ImageNet-C (224 pixels) and CIFAR-10-C (32 pixels).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dynvit.data.corruptions import blur, digital, noise, weather
from dynvit.data.corruptions.draws import draws
from dynvit.data.corruptions.fields import Floats
from dynvit.errors import InputError, unknown

Group = Literal["noise", "blur", "weather", "digital"]
Recipe = Literal["imagenet-c", "cifar-c"]
SEVERITIES = (1, 2, 3, 4, 5)
SMALL_EDGE = 64  # up to this edge an image gets CIFAR-10-C's parameters

_Parameters = Sequence[tuple[float, ...]]
_K = 244 / 224  # the published elastic transform assumes an edge of 244


@dataclass(frozen=True)
class Corruption:
    """One corruption: ``apply(image, rng, *parameters)``, with the parameters of each severity.

    Shape: ``apply`` maps float (H, W, 3) in [0, 1] to the same shape, clipped later. Units: of the parameters, as the
    function says; lengths are pixels of the published image size and are not scaled with the image.
    """

    name: str
    group: Group
    apply: Callable[..., Floats]
    large: _Parameters
    small: _Parameters
    as_published: bool = True
    """Whether the published set is made the same way, up to chance and rounding."""

    def parameters(self, severity: int, edge: int) -> tuple[float, ...]:
        """The published parameters for an image of this edge. Raises: ``InputError`` for a severity outside 1 to 5."""
        if severity not in SEVERITIES:
            raise InputError(f"severity must be 1 to 5, got {severity}")
        return (self.small if recipe_for(edge) == "cifar-c" else self.large)[severity - 1]


def _each(*values: float) -> _Parameters:
    return tuple((value,) for value in values)


CORRUPTIONS: dict[str, Corruption] = {
    corruption.name: corruption
    for corruption in (
        Corruption(
            "gaussian_noise",
            "noise",
            noise.gaussian_noise,
            _each(0.08, 0.12, 0.18, 0.26, 0.38),
            _each(0.04, 0.06, 0.08, 0.09, 0.10),
        ),
        Corruption("shot_noise", "noise", noise.shot_noise, _each(60, 25, 12, 5, 3), _each(500, 250, 100, 75, 50)),
        Corruption(
            "impulse_noise",
            "noise",
            noise.impulse_noise,
            _each(0.03, 0.06, 0.09, 0.17, 0.27),
            _each(0.01, 0.02, 0.03, 0.05, 0.07),
        ),
        Corruption(
            "defocus_blur",
            "blur",
            blur.defocus_blur,
            ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)),
            ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)),
        ),
        Corruption(
            "glass_blur",
            "blur",
            blur.glass_blur,
            ((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)),
            ((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)),
        ),
        Corruption(
            "motion_blur",
            "blur",
            blur.motion_blur,
            ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15)),
            ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)),
        ),
        Corruption(
            "zoom_blur",
            "blur",
            blur.zoom_blur,
            ((0.01, 12), (0.01, 16), (0.02, 11), (0.02, 13), (0.03, 11)),
            ((0.01, 7), (0.01, 12), (0.01, 16), (0.01, 21), (0.01, 26)),
        ),
        Corruption(
            "snow",
            "weather",
            weather.snow,
            (
                (0.1, 0.3, 3, 0.5, 10, 4, 0.8),
                (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
                (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
                (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
                (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
            ),
            (
                (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
                (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
                (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
                (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
                (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
            ),
        ),
        Corruption(
            "frost",
            "weather",
            weather.frost,
            ((1, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75)),
            ((1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45)),
            as_published=False,
        ),
        Corruption(
            "fog",
            "weather",
            weather.fog,
            ((1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4)),
            ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)),
        ),
        Corruption(
            "brightness",
            "weather",
            weather.brightness,
            _each(0.1, 0.2, 0.3, 0.4, 0.5),
            _each(0.05, 0.1, 0.15, 0.2, 0.3),
        ),
        Corruption(
            "contrast", "digital", digital.contrast, _each(0.4, 0.3, 0.2, 0.1, 0.05), _each(0.75, 0.5, 0.4, 0.3, 0.15)
        ),
        Corruption(
            "elastic_transform",
            "digital",
            digital.elastic_transform,
            (
                (2 * _K, 0.7 * _K, 0.1 * _K),
                (2 * _K, 0.08 * _K, 0.2 * _K),
                (0.05 * _K, 0.01 * _K, 0.02 * _K),
                (0.07 * _K, 0.01 * _K, 0.02 * _K),
                (0.12 * _K, 0.01 * _K, 0.02 * _K),
            ),
            ((0, 0, 0.08), (0.05, 0.2, 0.07), (0.08, 0.06, 0.06), (0.1, 0.04, 0.05), (0.1, 0.03, 0.03)),
        ),
        Corruption(
            "pixelate",
            "digital",
            digital.pixelate,
            _each(0.6, 0.5, 0.4, 0.3, 0.25),
            _each(0.95, 0.9, 0.85, 0.75, 0.65),
        ),
        Corruption(
            "jpeg_compression",
            "digital",
            digital.jpeg_compression,
            _each(25, 18, 15, 10, 7),
            _each(80, 65, 58, 50, 40),
        ),
    )
}
GROUPS: tuple[Group, ...] = ("noise", "blur", "weather", "digital")


def recipe_for(edge: int) -> Recipe:
    """Which published set's parameters an image of this edge gets: those of the nearer size.

    >>> recipe_for(32), recipe_for(224)
    ('cifar-c', 'imagenet-c')
    """
    return "cifar-c" if edge <= SMALL_EDGE else "imagenet-c"


def select(names: Sequence[str]) -> tuple[str, ...]:
    """Corruptions by name, by group, or ``all``; each once, in the catalogue's order.

    Raises: ``InputError`` for an unknown name, with the nearest.

    >>> select(["noise", "fog"])
    ('gaussian_noise', 'shot_noise', 'impulse_noise', 'fog')
    """
    known = {"all", *GROUPS, *CORRUPTIONS}
    for name in names:
        if name not in known:
            raise unknown("corruption", name, known)
    return tuple(c.name for c in CORRUPTIONS.values() if {"all", c.group, c.name} & set(names))


def corrupt(image: NDArray[np.uint8], name: str, severity: int, sample_id: str, seed: int = 0) -> NDArray[np.uint8]:
    """One image, corrupted: the same for the same id, corruption, severity and seed, in any process and batch.

    Shape: uint8 (H, W, 3) → the same. Units: pixels 0..255, rounded (the published sets truncate).
    Raises: ``InputError`` for an unknown corruption or severity, or an image of another kind.

    >>> grey = np.full((32, 32, 3), 128, np.uint8)
    >>> (corrupt(grey, "fog", 3, "a") == corrupt(grey, "fog", 3, "a")).all()
    np.True_
    """
    if name not in CORRUPTIONS:
        raise unknown("corruption", name, CORRUPTIONS)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise InputError(f"an image must be uint8 of shape (H, W, 3), got {image.dtype} of {image.shape}")
    corruption = CORRUPTIONS[name]
    parameters = corruption.parameters(severity, min(image.shape[:2]))
    rng = draws(seed, name, severity, sample_id)
    corrupted = corruption.apply(image / 255, rng, *parameters)
    return np.rint(255 * np.clip(corrupted, 0, 1)).astype(np.uint8)
