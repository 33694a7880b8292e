"""A cascade's choice of an exit made smooth: what an attack climbs that knows the exits. Tensors in, tensors out."""

from __future__ import annotations

import torch
from torch import Tensor

WIDTH = 0.1
"""How near to a threshold a score counts as near. Units: of scores, which lie in [0, 1]."""


def chances(scores: Tensor, thresholds: Tensor, width: float = WIDTH) -> Tensor:
    """The chance of leaving at each exit, if a score may be off by a logistic error of this width.

    A threshold of 1 lets nobody leave, as ever.
    Shape: scores (exits − 1, B), thresholds (exits − 1,) → (exits, B), summing to 1.

    >>> chances(torch.tensor([[0.5, 0.9]]).double(), torch.tensor([0.5])).round(decimals=2).tolist()
    [[0.5, 0.98], [0.5, 0.02]]
    """
    leave = torch.sigmoid((scores - thresholds[:, None]) / width) * (thresholds < 1)[:, None]
    here, stay = [], torch.ones_like(scores[0])
    for sure in leave:
        here.append(stay * sure)
        stay = stay * (1 - sure)
    return torch.stack([*here, stay])


def mixture(said: Tensor, leaving: Tensor) -> Tensor:
    """Log-probabilities of the exits' mean, half of it weighed by the chance of leaving there, half evenly.

    The even half keeps a gradient on exits that the image is far from: it may be moved to them.
    Shape: said (exits, B, classes), leaving (exits, B) → (B, classes).
    """
    weights = (leaving + 1 / len(said)) / 2
    return torch.logsumexp(said.log_softmax(-1) + weights.log()[:, :, None], dim=0)
