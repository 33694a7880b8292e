"""A smooth choice of an exit, for attacks that know the exits. Tensors in, tensors out."""

from __future__ import annotations

import torch
from torch import Tensor

WIDTH = 0.1
"""Width of the logistic around a threshold. Units: of scores, in [0, 1]."""


def exit_probabilities(scores: Tensor, thresholds: Tensor, width: float = WIDTH) -> Tensor:
    """The probability of leaving at each exit, if scores have a logistic error of this width.

    With a threshold of 1 no image leaves.
    Shape: scores (exits − 1, B), thresholds (exits − 1,) → (exits, B), summing to 1.

    >>> exit_probabilities(torch.tensor([[0.5, 0.9]]).double(), torch.tensor([0.5])).round(decimals=2).tolist()
    [[0.5, 0.98], [0.5, 0.02]]
    """
    leave = torch.sigmoid((scores - thresholds[:, None]) / width) * (thresholds < 1)[:, None]
    here, stay = [], torch.ones_like(scores[0])
    for probability in leave:
        here.append(stay * probability)
        stay = stay * (1 - probability)
    return torch.stack([*here, stay])


def mixture(exit_logits: Tensor, leaving: Tensor) -> Tensor:
    """Log-probabilities of the exits' mean, weighted half by the probability of leaving there, half uniformly.

    The uniform half keeps a gradient through exits that the image is far from.
    Shape: exit_logits (exits, B, classes), leaving (exits, B) → (B, classes).
    """
    weights = (leaving + 1 / len(exit_logits)) / 2
    return torch.logsumexp(exit_logits.log_softmax(-1) + weights.log()[:, :, None], dim=0)
