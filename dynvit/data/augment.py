"""Augmentation of whole batches of pixels: flip, shift, erase. Each image has its own random numbers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dynvit.interface import Augment

ERASED_AREA = (0.02, 1 / 3)  # of the image, and aspect ratio up to 1 / 0.3: timm's and the paper's defaults
ERASED_ASPECT = 0.3


@dataclass(frozen=True)
class Draws:
    """One uniform random row for each image view of an epoch, so that augmentation does not depend on batch or rank.

    Shape: ``uniform`` (views, 8) in [0, 1); ``noise_seed`` (views,).
    """

    uniform: Tensor
    noise_seed: Tensor

    @classmethod
    def of(cls, views: int, seed: int) -> Draws:
        """The draws of ``seed``."""
        generator = torch.Generator().manual_seed(seed)
        uniform = torch.rand(views, 8, generator=generator)
        return cls(uniform, torch.randint(2**62, (views,), generator=generator))

    def __getitem__(self, views: Tensor) -> Draws:
        return Draws(self.uniform[views], self.noise_seed[views])


def augment_batch(
    images: Tensor,
    draws: Draws,
    augment: Augment,
    mean: tuple[float, ...],
    std: tuple[float, ...],
) -> Tensor:
    """Flip, shift inside a black border of ``augment.padding`` pixels, erase.

    Shape: ``images`` uint8 (B, 3, H, W) → the same.

    >>> images = torch.arange(48, dtype=torch.uint8).reshape(1, 3, 4, 4)
    >>> mirrored = augment_batch(images, Draws.of(1, 0), Augment(flip=1.0), (0.5,) * 3, (0.5,) * 3)
    >>> mirrored[0, 0, 0].tolist()
    [3, 2, 1, 0]
    """
    u = draws.uniform
    if augment.flip:
        images = _flip(images, u[:, 0] < augment.flip)
    if augment.padding:
        images = _shift(images, u[:, 1], u[:, 2], augment.padding)
    if augment.random_erasing:
        images = _erase(images, draws, augment.random_erasing, mean, std)
    return images


def _flip(images: Tensor, which: Tensor) -> Tensor:
    """By NumPy, which turns rows of bytes several times as fast as torch does."""
    flipped, chosen = images.numpy().copy(), which.numpy()
    flipped[chosen] = flipped[chosen][..., ::-1]
    return torch.from_numpy(flipped)


def _shift(images: Tensor, down: Tensor, right: Tensor, padding: int) -> Tensor:
    batch, _, height, width = images.shape
    padded = torch.nn.functional.pad(images, (padding,) * 4)
    rows = (down * (2 * padding + 1)).long()[:, None] + torch.arange(height)
    columns = (right * (2 * padding + 1)).long()[:, None] + torch.arange(width)
    which = torch.arange(batch)
    # Advanced indices around a slice put the indexed axes first: (B, H, W, 3).
    return padded[which[:, None, None], :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2).contiguous()


def _erase(images: Tensor, draws: Draws, probability: float, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """Random Erasing (Zhong et al., 2020) with noise a pixel, which is N(0, 1) after the model's normalisation."""
    _, channels, height, width = images.shape
    u = draws.uniform
    least, most = ERASED_AREA
    area = (least + u[:, 4] * (most - least)) * height * width
    aspect = torch.exp((2 * u[:, 5] - 1) * torch.log(torch.tensor(1 / ERASED_ASPECT)))
    tall = (area * aspect).sqrt().round().clamp(1, height).long()
    wide = (area / aspect).sqrt().round().clamp(1, width).long()
    top = (u[:, 6] * (height - tall + 1)).long()
    left = (u[:, 7] * (width - wide + 1)).long()
    images = images.clone()
    centre, spread = torch.tensor(mean)[:, None, None], torch.tensor(std)[:, None, None]
    for i in (u[:, 3] < probability).nonzero().flatten().tolist():
        generator = torch.Generator().manual_seed(int(draws.noise_seed[i]))
        noise = torch.randn(channels, int(tall[i]), int(wide[i]), generator=generator) * spread + centre
        box = images[i, :, top[i] : top[i] + tall[i], left[i] : left[i] + wide[i]]
        box.copy_((noise.clamp(0, 1) * 255).round().to(torch.uint8))
    return images
