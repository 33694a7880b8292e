"""AdaViT's usage losses (arXiv 2111.15668, Eq. 6, and the code released with it): tensors in, scalars out."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def share(masks: Tensor, among: Tensor | None = None, dim: int | tuple[int, ...] | None = None) -> Tensor:
    """The share of gates that are open, of those ``among`` which they count.

    Shape: masks (B, blocks, n), among (B, blocks, 1) → scalar, or without the dimensions ``dim``.
    """
    if among is None:
        return masks.mean() if dim is None else masks.mean(dim)
    count = among.expand_as(masks)
    if dim is None:
        return (masks * count).sum() / count.sum().clamp(min=1)
    return (masks * count).sum(dim) / count.sum(dim).clamp(min=1)


def entropy(logits: Tensor) -> Tensor:
    """Mean entropy of gates. Shape: any → scalar, in nats.

    >>> round(float(entropy(torch.zeros(3))), 4), round(float(entropy(torch.full((3,), 40.0))), 4)
    (0.6931, 0.0)
    """
    return F.binary_cross_entropy_with_logits(logits, torch.sigmoid(logits))


def distance(masks: Tensor, target: float, among: Tensor | None = None, diversity: float = 0.0) -> Tensor:
    """|usage − target|, and ``diversity`` times the same of each position, a mean over them.

    Shape: masks (B, blocks, n), among (B, blocks, 1) → scalar.

    >>> float(distance(torch.tensor([[[1.0, 1.0], [1.0, 0.0]]]), 0.5))
    0.25
    """
    found = (share(masks, among) - target).abs()
    return found + diversity * (share(masks, among, 0) - target).abs().mean() if diversity else found


def squared(masks: Tensor, target: float) -> Tensor:
    """(usage − target)² of the whole batch. Shape: any → scalar."""
    return (masks.mean() - target).square()


def ran(layers: Tensor) -> Tensor:
    """1 for each image and block of which a half runs. Shape: layers (B, blocks, 2) → (B, blocks, 1)."""
    return (layers.detach().sum(-1, keepdim=True) > 0).to(layers.dtype)


def stacked(masks: list[Tensor]) -> Tensor:
    """The masks of several blocks as one. Shape: blocks of (B, n) → (B, blocks, n)."""
    return torch.stack(masks, dim=1)
