"""A-ViT's training losses (arXiv 2112.07658): tensors in, scalars out."""

from __future__ import annotations

import torch
from torch import Tensor


def prior_loss(scores: Tensor, depth: float, deviation: float) -> Tensor:
    """KL(prior ‖ scores), both as distributions over blocks: a Gaussian, and the mean halting score in each block.

    Shape: scores (blocks,) → scalar, in nats. Units: ``depth`` and ``deviation`` in blocks, counted from 0.

    >>> gaussian = torch.tensor([-0.5, 0.0, -0.5]).exp()
    >>> round(float(prior_loss(0.1 * gaussian, 1.0, 1.0)), 6)
    0.0
    """
    blocks = torch.arange(len(scores), dtype=scores.dtype, device=scores.device)
    log_prior = torch.log_softmax(-0.5 * ((blocks - depth) / deviation) ** 2, 0)
    # The bound is for a block in which no token scores at all; it leaves that block without gradient.
    least = torch.finfo(scores.dtype).tiny
    log_scores = (scores / scores.sum().clamp(min=least)).clamp(min=least).log()
    return (log_prior.exp() * (log_prior - log_scores)).sum()
