"""Images that keep different heads and tokens, grouped into matrices, and the parts of weights that these need.

Images are sorted by head set and token count. A head set's images are one matrix of kept tokens, multiplied by the kept
part of each weight; those of equal counts are one attention. Nothing is padded. Channels, hidden units and rows of
weights belong to heads in groups: group h is the h-th part of H equal ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor

CPU_ROWS = 1024
"""Rows that a CPU multiplies at once, so that they stay in its cache: 6,304 rows at once, a whole batch of DeiT-S, run
at half the speed."""


@dataclass(frozen=True)
class Pack:
    """Images of one head set: their kept tokens, image by image, as rows of the residual stream.

    ``heads`` are ascending; ``buckets`` are (images, tokens of each), in the order of the rows.
    """

    rows: Tensor
    heads: tuple[int, ...]
    buckets: tuple[tuple[int, int], ...]


def packs(runs: Tensor, heads: Tensor, policy: Tensor) -> Iterator[Pack]:
    """The images whose block runs, by head set.

    Shape: bool, runs (B,), heads (B, H), policy (B, n).
    """
    live = runs.nonzero().flatten()
    if not len(live):
        return
    sets, counts = [tuple(row) for row in heads[live].tolist()], policy[live].sum(1).tolist()
    order = sorted(range(len(live)), key=lambda place: (sets[place], counts[place]))
    images = live[torch.tensor(order, device=live.device)]
    image, position = policy[images].nonzero(as_tuple=True)
    rows = images[image] * policy.shape[1] + position
    most, start = CPU_ROWS if rows.device.type == "cpu" else len(rows), 0
    for kept, places in groupby(order, key=lambda place: sets[place]):
        for chunk in _chunks([counts[place] for place in places], most):
            end = start + sum(chunk)
            buckets = tuple((len(list(same)), count) for count, same in groupby(chunk))
            yield Pack(rows[start:end], tuple(head for head, on in enumerate(kept) if on), buckets)
            start = end


def _chunks(counts: Sequence[int], most: int) -> Iterator[list[int]]:
    """Neighbours in chunks whose sums are at most ``most``."""
    chunk: list[int] = []
    for count in counts:
        if chunk and sum(chunk) + count > most:
            yield chunk
            chunk = []
        chunk.append(count)
    if chunk:
        yield chunk


def take(tensor: Tensor, dim: int, heads: Sequence[int]) -> Tensor:
    """Some groups along a dimension that counts groups; a view where they are neighbours.

    >>> take(torch.arange(8).view(4, 2), 0, (1, 2)).tolist(), take(torch.arange(3), 0, (0, 2)).tolist()
    ([[2, 3], [4, 5]], [0, 2])
    """
    first, last = heads[0], heads[-1]
    if last - first + 1 == len(heads):
        return tensor.narrow(dim, first, len(heads))
    return tensor.index_select(dim, torch.tensor(heads, device=tensor.device))


def part(weight: Tensor, groups: int, outputs: Sequence[int], inputs: Sequence[int]) -> Tensor:
    """A weight's rows of some groups and columns of some. Shape: (out, in) → (out·k/H, in·k'/H)."""
    cut = weight.unflatten(0, (groups, -1)).unflatten(2, (groups, -1))
    return take(take(cut, 0, outputs), 2, inputs).flatten(2).flatten(0, 1)


def of(bias: Tensor | None, groups: int, heads: Sequence[int]) -> Tensor | None:
    """A vector's entries of some groups."""
    return None if bias is None else take(bias.view(groups, -1), 0, heads).flatten()


def columns(rows: Tensor, groups: int, heads: Sequence[int]) -> Tensor:
    """Channels of some groups. Shape: (n, C) → (n, C·k/H)."""
    return take(rows.unflatten(1, (groups, -1)), 1, heads).flatten(1)


def add(rows: Tensor, made: Tensor, groups: int, heads: Sequence[int]) -> None:
    """Add to the channels of some groups in place, run by run. Shape: rows (n, C), made (n, C·k/H)."""
    width, start = rows.shape[1] // groups, 0
    for _, run in groupby(enumerate(heads), key=lambda pair: pair[1] - pair[0]):
        members = [head for _, head in run]
        size = len(members) * width
        rows[:, members[0] * width : members[0] * width + size] += made[:, start : start + size]
        start += size
