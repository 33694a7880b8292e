"""Sampling of the Square attack, image by image: starts and windows under L∞ and L2.

Andriushchenko et al. 2020 (arXiv 1912.00049), §3.3 and §3.4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import torch
from numpy.random import Generator
from torch import Tensor

from dynvit.attacks.threat import Threat

Window = tuple[slice, slice]


@dataclass(frozen=True)
class LinfSquares:
    """Every pixel is changed by ±ε: stripes at first, then windows of one colour."""

    threat: Threat

    def start(self, clean: Tensor, draw: Generator) -> Tensor:
        """Vertical stripes of ±ε, one pixel wide. Shape: (C, H, W)."""
        channels, _, width = clean.shape
        return (clean + self.threat.eps * _signs((channels, 1, width), clean, draw)).clamp(0, 1)

    def propose(self, image: Tensor, clean: Tensor, side: int, draw: Generator) -> Tensor:
        """A window is changed by ±ε, one sign a channel. Shape: images (C, H, W) → the same."""
        rows, columns = _window(clean, side, draw)
        proposed = image.clone()
        proposed[:, rows, columns] = clean[:, rows, columns] + self.threat.eps * _signs((len(clean), 1, 1), clean, draw)
        return proposed


@dataclass(frozen=True)
class L2Squares:
    """The whole norm ε is used; a step moves the change of one window into another (algorithm 3)."""

    threat: Threat

    def start(self, clean: Tensor, draw: Generator) -> Tensor:
        """Five by five tiles of bumps, one sign a channel and tile. Shape: (C, H, W)."""
        channels, height, width = clean.shape
        side = max(1, min(height, width) // 5)
        change = torch.zeros_like(clean)
        top, left = (height % side) // 2, (width % side) // 2
        for row in range(top, height - side + 1, side):
            for column in range(left, width - side + 1, side):
                bump = _oriented(side, draw).to(clean)
                change[:, row : row + side, column : column + side] = bump * _signs((channels, 1, 1), clean, draw)
        return (clean + change * (self.threat.eps / change.norm())).clamp(0, 1)

    def propose(self, image: Tensor, clean: Tensor, side: int, draw: Generator) -> Tensor:
        """A bump is added to the change of one window; its norm is that of two windows and what ε leaves unused.

        Shape: images (C, H, W) → the same.
        """
        side = min(max(side, 3) | 1, *clean.shape[1:])  # odd, so that a bump has a centre
        change = image - clean
        source, target = _window(clean, side, draw), _window(clean, side, draw)
        unused = max(self.threat.eps**2 - float(change.square().sum()), 0.0)
        both = torch.zeros_like(clean[0], dtype=torch.bool)
        both[source] = both[target] = True
        available = (unused / len(clean) + (change.square() * both).sum((1, 2))).sqrt()[:, None, None]
        old = change[:, target[0], target[1]]
        bump = _oriented(side, draw).to(clean) * _signs((len(clean), 1, 1), clean, draw)
        new = bump + old / _norm(old)
        change[:, source[0], source[1]] = 0
        change[:, target[0], target[1]] = new / _norm(new) * available
        return clean + change


@cache
def _bump(side: int) -> Tensor:
    """Two hills side by side, one of them negative, of norm 1. Shape: (side, side).

    A hill of h by w has η_rs = Σ_(k = d+1 … n+1) 1/k², n = ⌊h/2⌋, d the distance from its centre (eq. 2).
    """
    halves = [_hill(side, side // 2), -_hill(side, side - side // 2)]
    bump = torch.cat(halves, dim=1)
    return bump / bump.norm()


def _hill(height: int, width: int) -> Tensor:
    n = height // 2
    terms = [1 / k**2 for k in range(1, n + 2)]
    return torch.tensor(
        [
            [math.fsum(terms[max(abs(row - n), abs(column - width // 2)) :]) for column in range(width)]
            for row in range(height)
        ],
        dtype=torch.float64,
    ).reshape(height, width)


def _oriented(side: int, draw: Generator) -> Tensor:
    bump = _bump(side)
    return bump if draw.random() < 0.5 else bump.T


def _window(clean: Tensor, side: int, draw: Generator) -> Window:
    _, height, width = clean.shape
    row, column = draw.integers(height - side + 1), draw.integers(width - side + 1)
    return slice(row, row + side), slice(column, column + side)


def _signs(shape: tuple[int, ...], like: Tensor, draw: Generator) -> Tensor:
    return torch.from_numpy(2 * draw.integers(0, 2, shape) - 1).to(like)


def _norm(change: Tensor) -> Tensor:
    """Norm of each channel. Shape: (C, h, w) → (C, 1, 1)."""
    return change.flatten(1).norm(dim=1).clamp_min(1e-12)[:, None, None]
