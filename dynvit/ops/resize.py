"""Resizing square maps of tokens by two small matrix products: linear, separable, exact.

A resize is a fixed linear map along each axis. It is a torch operator of its own, so that its MACs count as those of
``F.interpolate`` do (0, ``dynvit.cost``), although matrix products compute it.
"""

from __future__ import annotations

from functools import lru_cache
from math import ceil
from typing import Any, Literal

import torch
from torch import Tensor

Resize = Literal["released", "bilinear"]


def middle_size(old: int, new: int) -> int:
    """The size that the released DVT code goes through: nearest up to it, averaged down to the new size.

    The code knows 7 → 14 → 10 and 10 → 20 → 14, and takes 20 to any 14; other sizes go through the first
    multiple of the old size, two at least, that is not below the new.

    >>> middle_size(7, 10), middle_size(10, 14), middle_size(7, 14), middle_size(2, 7)
    (14, 20, 20, 8)
    """
    return 20 if new == 14 and old <= 20 else old * max(2, ceil(new / old))


@lru_cache(maxsize=64)
@torch.inference_mode(False)  # a cached matrix must serve training too
def axis_matrix(old: int, new: int, resize: Resize = "released") -> Tensor:
    """The resize along one axis, in float64.

    Shape: (new, old).

    >>> axis_matrix(1, 3)
    tensor([[1.],
            [1.],
            [1.]], dtype=torch.float64)
    """
    if resize == "bilinear":
        unit = torch.eye(old, dtype=torch.float64)[None]
        return torch.nn.functional.interpolate(unit, size=new, mode="linear", align_corners=False)[0].T.contiguous()
    middle = middle_size(old, new)
    matrix = torch.zeros(new, old, dtype=torch.float64)
    for row in range(new):
        start, stop = row * middle // new, ceil((row + 1) * middle / new)
        for column in range(start, stop):
            matrix[row, column * old // middle] += 1 / (stop - start)
    return matrix


@lru_cache(maxsize=64)
@torch.inference_mode(False)  # a cached matrix must serve training too
def grid_matrix(old: int, new: int, resize: Resize = "released", class_token: bool = True) -> Tensor:
    """The resize of a flattened square grid; a class token in front maps to itself alone.

    Shape: (1 + new², 1 + old²), or (new², old²) without a class token.
    """
    axis = axis_matrix(old, new, resize)
    grid = torch.kron(axis, axis)
    return torch.block_diag(torch.ones(1, 1, dtype=grid.dtype), grid) if class_token else grid


@torch.library.custom_op("dynvit::resample", mutates_args=())
def resample(maps: Tensor, rows: Tensor, columns: Tensor | None) -> Tensor:
    """Resize the last two axes of ``maps``: rows · maps · columnsᵀ, with matrices that are never trained.

    Shape: maps (…, r, c), rows (R, r), columns (C, c), None to leave that axis → (…, R, C).

    >>> resample(torch.ones(5, 2, 3), torch.ones(4, 2), torch.ones(1, 3)).shape
    torch.Size([5, 4, 1])
    """
    flat = maps.reshape(-1, *maps.shape[-2:])
    count = len(flat)
    # bmm on expanded matrices: matmul would copy them once a map.
    wide = flat if columns is None else torch.bmm(flat, columns.T.expand(count, -1, -1))
    return torch.bmm(rows.expand(count, -1, -1), wide).view(*maps.shape[:-2], len(rows), wide.shape[-1])


@resample.register_fake
def _(maps: Tensor, rows: Tensor, columns: Tensor | None) -> Tensor:
    width = maps.shape[-1] if columns is None else columns.shape[0]
    return maps.new_empty(*maps.shape[:-2], rows.shape[0], width)


def _backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
    columns = None if ctx.columns is None else ctx.columns.T
    return resample(gradient, ctx.rows.T, columns), None, None


def _setup(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor | None], output: Tensor) -> None:
    _, ctx.rows, ctx.columns = inputs


resample.register_autograd(_backward, setup_context=_setup)
