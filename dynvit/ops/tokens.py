"""Selecting tokens and packing the selected ones: patch scores in, fewer tokens out."""

from __future__ import annotations

import torch
from torch import Tensor


def top_k(scores: Tensor, count: int, among: Tensor | None = None) -> Tensor:
    """The positions of the ``count`` highest scores of each image, in ascending order of position.

    ``among`` restricts the positions to choose from; each image must have at least ``count`` of them.

    Shape: scores (B, N), among (B, N), positive where a position may be chosen → (B, count), int64.

    >>> top_k(torch.tensor([[0.1, 0.9, 0.5, 0.7]]), 2).tolist()
    [[1, 3]]
    """
    if among is not None:
        scores = scores.masked_fill(among <= 0, -torch.inf)
    # Raster order costs nothing, and makes rounding and pictures of kept patches independent of the order of scores.
    return scores.topk(count, dim=1, sorted=False).indices.sort(dim=1).values


def gather_tokens(tokens: Tensor, positions: Tensor) -> Tensor:
    """Each image's tokens at its own positions; differentiable in the tokens.

    Shape: tokens (B, N, C), positions (B, k) → (B, k, C).
    """
    # Whole rows are copied; torch.gather would look up an index for each channel.
    rows = tokens.flatten(0, 1).index_select(0, row_numbers(positions, tokens.shape[1]))
    return rows.view(len(tokens), -1, tokens.shape[2])


def row_numbers(positions: Tensor, count: int) -> Tensor:
    """Positions within each of several images as those of rows of all, where an image has ``count`` rows.

    Shape: (B, k) → (B·k,).

    >>> row_numbers(torch.tensor([[0, 2], [1, 1]]), 3).tolist()
    [0, 2, 4, 4]
    """
    if len(positions) == 1:  # a batch of one pays for each small kernel
        return positions[0]
    first = torch.arange(0, len(positions) * count, count, device=positions.device).unsqueeze(1)
    return (positions + first).flatten()


def keep_patches(tokens: Tensor, positions: Tensor, prefix: int = 1) -> Tensor:
    """The ``prefix`` first tokens, of which one is the class token, and the patch tokens at ``positions``, packed.

    Shape: tokens (B, prefix + N, C), positions (B, k) among the N patches → (B, prefix + k, C).

    >>> tokens = torch.arange(5.0).view(1, 5, 1)
    >>> keep_patches(tokens, torch.tensor([[1, 3]])).flatten().tolist()
    [0.0, 2.0, 4.0]
    """
    return gather_tokens(tokens, with_prefix(positions, prefix))


def with_prefix(positions: Tensor, prefix: int = 1) -> Tensor:
    """Positions among the patches as positions among all tokens, the prefix tokens before them.

    Shape: (B, k) → (B, prefix + k).

    >>> with_prefix(torch.tensor([[0, 3]])).tolist(), with_prefix(torch.tensor([[0, 3]]), 2).tolist()
    ([[0, 1, 4]], [[0, 1, 2, 5]])
    """
    first = torch.arange(prefix, device=positions.device).expand(len(positions), -1)
    return torch.cat([first, positions + prefix], dim=1)


def mask_of(positions: Tensor, scores: Tensor) -> Tensor:
    """1 at ``positions``, 0 elsewhere.

    Shape: positions (B, k), scores (B, N), used for their shape and type only → (B, N).
    """
    return torch.zeros_like(scores).scatter(1, positions, 1.0)
