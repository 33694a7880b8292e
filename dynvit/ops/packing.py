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

from dynvit.ops.upload import uploaded

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

    The host waits for the device once: how large matrices are is for it to say.

    Shape: bool, runs (B,), heads (B, H), policy (B, n).
    """
    decided = torch.cat([runs[:, None], heads, policy.sum(1)[:, None]], dim=1).tolist()
    sets, counts = [tuple(row[1:-1]) for row in decided], [row[-1] for row in decided]
    order = sorted((image for image, row in enumerate(decided) if row[0]), key=lambda i: (sets[i], counts[i]))
    if not order:
        return
    images = uploaded(order, policy.device)
    kept = torch.nonzero_static(policy[images], size=sum(counts[image] for image in order))
    rows = images[kept[:, 0]] * policy.shape[1] + kept[:, 1]
    most, start = CPU_ROWS if rows.device.type == "cpu" else len(rows), 0
    for which, members in groupby(order, key=lambda image: sets[image]):
        for chunk in _chunks([counts[image] for image in members], most):
            end = start + sum(chunk)
            buckets = tuple((len(list(same)), count) for count, same in groupby(chunk))
            yield Pack(rows[start:end], tuple(head for head, on in enumerate(which) if on), buckets)
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
    return tensor.index_select(dim, uploaded(heads, tensor.device))


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
