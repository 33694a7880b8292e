"""How unsure a round is: the entropy of its ten likeliest classes. Tensors in, tensors out."""

from __future__ import annotations

import torch
from torch import Tensor

CLASSES = 10
"""Classes that the entropy looks at; of fewer, all."""
ALWAYS = 2.5
"""A threshold above every entropy, which is at most ln 10 = 2.303: each image leaves at once. Units: nats."""


def top_entropy(logits: Tensor) -> Tensor:
    """The entropy of the largest probabilities, made to sum to 1. Shape: (…, classes) → (…). Units: nats.

    >>> round(float(top_entropy(torch.zeros(1000))), 4), round(float(top_entropy(torch.zeros(4))), 4)
    (2.3026, 1.3863)
    """
    likeliest = logits.softmax(-1).topk(min(CLASSES, logits.shape[-1])).values
    shares = likeliest / likeliest.sum(-1, keepdim=True)
    # Clamped as the published code has it: a probability of 0 or 1 has no logarithm with a use.
    tiny = torch.finfo(logits.dtype).eps
    return -(shares * shares.clamp(tiny, 1 - tiny).log()).sum(-1)
