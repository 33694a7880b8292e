"""The matrix products of a usage, alone: what no method on this machine can be faster than."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from dynvit import cost
from dynvit.interface import Usage


def products(usage: Usage) -> Callable[[], None]:
    """Run every product that the usage counts, one after another: no norms, nothing decided, nothing moved.

    Each layer has weights of its own, for they are read anew in every pass. Counts of images that differ are added up;
    attention takes its largest counts. Matching is left out: it is a part of deciding.
    """
    runs = [_product(part, usage.images) for part in usage.parts if isinstance(part, cost.Counted)]

    def run() -> None:
        for each in runs:
            each()

    return run


def _product(part: cost.Counted, images: int) -> Callable[[], object]:
    if isinstance(part, cost.Linear):
        return _layer(_rows(part.rows, images), _most(part.d_in), _most(part.d_out))
    if isinstance(part, cost.Convolution):
        return _layer(_rows(part.positions, images), part.fan_in, part.channels)
    if isinstance(part, cost.Attention):
        heads, width = _most(part.heads), part.value_dim if part.value_dim is not None else part.head_dim
        queries = torch.rand(images, heads, _most(part.queries), part.head_dim)
        keys = torch.rand(images, heads, _most(part.keys), part.head_dim)
        values = torch.rand(images, heads, _most(part.keys), width)
        if part.head_dim and width:
            return lambda: F.scaled_dot_product_attention(queries, keys, values)
        # Half of attention: logits alone, or weights (of queries on keys) times values.
        weights = torch.rand(images, heads, _most(part.queries), _most(part.keys))
        return (lambda: queries @ keys.mT) if part.head_dim else (lambda: weights @ values)
    return lambda: None


def _layer(rows: int, d_in: int, d_out: int) -> Callable[[], object]:
    tokens, weight, bias = torch.rand(rows, d_in), torch.rand(d_out, d_in), torch.rand(d_out)
    return lambda: F.linear(tokens, weight, bias)


def _rows(count: cost.Count, images: int) -> int:
    return int(count.sum()) if isinstance(count, Tensor) else count * images


def _most(count: cost.Count) -> int:
    return int(count.max()) if isinstance(count, Tensor) else count
