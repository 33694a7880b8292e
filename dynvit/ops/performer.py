"""Linear attention by positive random features, as the T2T tokeniser uses it (Performer, arXiv 2009.14794)."""

from __future__ import annotations

import torch
from torch import Tensor


def positive_features(tokens: Tensor, projection: Tensor) -> Tensor:
    """φ(x) = exp(w·x − |x|²/2) / √m: their products estimate exp(x·y) without bias.

    Half precision is widened to float32, because the exponent overflows it.

    Shape: tokens (B, n, d), projection (m, d) → (B, n, m).

    >>> positive_features(torch.zeros(1, 1, 2), torch.ones(4, 2))[0, 0]
    tensor([0.5000, 0.5000, 0.5000, 0.5000])
    """
    wide = tokens if tokens.dtype == torch.float64 else tokens.float()
    exponent = wide @ projection.to(wide.dtype).T - wide.square().sum(-1, keepdim=True) / 2
    return exponent.exp() / len(projection) ** 0.5


def linear_attention(queries: Tensor, keys: Tensor, values: Tensor, projection: Tensor) -> Tensor:
    """Softmax attention's estimate in time linear in n: φ(q)(φ(k)ᵀv) / (φ(q)·Σφ(k) + 1e-8).

    Shape: queries, keys (B, n, d), values (B, n, e), projection (m, d) → (B, n, e).
    """
    q, k = positive_features(queries, projection), positive_features(keys, projection)
    wide = values.to(k.dtype)
    normaliser = q @ k.sum(1, keepdim=True).transpose(1, 2) + 1e-8
    return (q @ (k.transpose(1, 2) @ wide) / normaliser).to(values.dtype)


def orthogonal_features(features: int, width: int) -> Tensor:
    """A random projection for ``positive_features`` with orthogonal rows of length √m.

    Shape: (features, width).
    """
    projection = torch.empty(features, width)
    torch.nn.init.orthogonal_(projection)
    return projection * features**0.5
