"""Gates that are open where P(keep), the sigmoid of a logit, is above a threshold: noise-free, and sampled."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from dynvit.ops.gates import straight_through


def log_odds(probability: float) -> float:
    """log p/(1−p); −∞ at 0, ∞ at 1."""
    if probability <= 0:
        return -math.inf
    return math.inf if probability >= 1 else math.log(probability) - math.log1p(-probability)


def open_above(logits: Tensor, threshold: float) -> Tensor:
    """Which gates are open without noise: P(keep) > threshold, compared as log-odds, which saturate later than
    probabilities.

    Shape: any → the same, bool.

    >>> open_above(torch.tensor([40.0, 50.0, -1.0]), 1 - 1e-15).tolist(), open_above(torch.tensor([9e9]), 1.0).tolist()
    ([True, True, False], [False])
    """
    if threshold >= 1:
        return torch.zeros_like(logits, dtype=torch.bool)
    return logits > log_odds(threshold)


def threshold_gate(logits: Tensor, threshold: float, temperature: float) -> Tensor:
    """``open_above`` with the gradient of a sigmoid that is centred on the threshold.

    Shape: any → the same, 1 or 0.
    """
    hard = open_above(logits, threshold).to(logits.dtype)
    centre = log_odds(min(max(threshold, 1e-12), 1 - 1e-12))
    return straight_through(hard, torch.sigmoid((logits - centre) / temperature))


def sampled_gate(logits: Tensor, threshold: float, temperature: float) -> Tensor:
    """Gumbel-sigmoid gates, open where sigmoid((logit + noise) / temperature) > threshold, straight-through.

    The noise is the difference of two Gumbel draws, which is logistic; torch's global generator draws it. Unlike in
    ``ops.gates.gumbel_gate`` the threshold need not be one half: above it a gate needs noise, or a logit, of as many
    temperatures to open.

    Shape: any → the same, 1 or 0.
    """
    uniform = torch.rand_like(logits).clamp(min=torch.finfo(logits.dtype).tiny, max=1 - 2**-24)
    noisy = (logits + torch.log(uniform) - torch.log1p(-uniform)) / temperature
    return straight_through(open_above(noisy, threshold).to(logits.dtype), torch.sigmoid(noisy))
