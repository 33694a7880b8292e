"""Merging tokens: which tokens become one, how they are summed, and where each came to lie.

Matching follows ToMe (arXiv 2210.09461): tokens are split into two sets, each token of the first draws an edge to
the most similar one of the second, and the most similar pairs are joined. Everything is batched: one gather and one
scatter, no loop over images, no wait for the device.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from dynvit.ops.tokens import gather_tokens, row_numbers, with_prefix


@dataclass(frozen=True)
class Kept:
    """Some tokens stay, in this order, and all others are dropped.

    Shape: ``kept`` (B, m), positions among the n, int64.
    """

    kept: Tensor

    def total(self, tokens: Tensor) -> Tensor:
        """Shape: tokens (B, n, C) → (B, m, C)."""
        return gather_tokens(tokens, self.kept)

    def places(self, tokens: int) -> Tensor:
        """Where each of the n tokens lies afterwards, −1 where it was dropped. Shape: (B, n), int64."""
        return _placed(self.kept, self.kept.new_full((len(self.kept), tokens), -1))


@dataclass(frozen=True)
class Fused:
    """Some tokens stay, in this order, and all others become one more, the last: their sum weighted by ``weights``.

    Shape: ``kept`` (B, m), positions among the n, int64; ``weights`` (B, n), those of kept tokens unused.
    """

    kept: Tensor
    weights: Tensor

    def total(self, tokens: Tensor) -> Tensor:
        """Differentiable in tokens and weights. Shape: tokens (B, n, C) → (B, m + 1, C)."""
        dropped = self.weights.scatter(1, self.kept, 0.0)
        fused = (tokens * dropped.unsqueeze(-1)).sum(1, keepdim=True)
        return torch.cat([gather_tokens(tokens, self.kept), fused], dim=1)

    def places(self, tokens: int) -> Tensor:
        """Where each of the n tokens lies afterwards. Shape: (B, n), int64.

        >>> Fused(torch.tensor([[0, 2]]), torch.ones(1, 4)).places(4).tolist()
        [[0, 2, 1, 2]]
        """
        return _placed(self.kept, self.kept.new_full((len(self.kept), tokens), self.kept.shape[1]))


@dataclass(frozen=True)
class Groups:
    """n tokens of each image become m: the first m of ``order`` live on in this order, the other r join some of them.

    What is not in ``order`` is dropped.

    Shape: ``order`` (B, m + r), positions among the n; ``targets`` (B, r), places among the m. int64.
    """

    order: Tensor
    targets: Tensor

    @property
    def count(self) -> int:
        """How many tokens are left, m."""
        return self.order.shape[1] - self.targets.shape[1]

    @property
    def kept(self) -> Tensor:
        """The positions of those that live on. Shape: (B, m)."""
        return self.order[:, : self.count]

    @property
    def sources(self) -> Tensor:
        """The positions of those that join one. Shape: (B, r)."""
        return self.order[:, self.count :]

    def behind(self, prefix: int) -> Groups:
        """The same groups of tokens that have ``prefix`` others before them, which stay where they are."""
        return Groups(with_prefix(self.order, prefix), self.targets + prefix)

    def moved(self, values: Tensor) -> Tensor:
        """Values in the order of ``order``. Shape: (B, n, C), or (B, n) → (B, m + r, C), or (B, m + r)."""
        rows = row_numbers(self.order, values.shape[1])
        return values.flatten(0, 1).index_select(0, rows).unflatten(0, self.order.shape)

    def total(self, values: Tensor, weights: Tensor | None = None) -> Tensor:
        """The sum over each group; ``weights`` are the sources'. Differentiable in both.

        Shape: values (B, n, C), or (B, n), weights (B, r) → (B, m, C), or (B, m).
        """
        return self.total_of_moved(self.moved(values), weights)

    def total_of_moved(self, moved: Tensor, weights: Tensor | None = None) -> Tensor:
        """``total`` of what is in the order of ``order`` already, and is used up.

        Shape: moved (B, m + r, C), or (B, m + r), weights (B, r) → (B, m, C), or (B, m).
        """
        left, joining = moved[:, : self.count], moved[:, self.count :]
        if weights is not None:
            joining = joining * (weights if moved.ndim == 2 else weights.unsqueeze(-1))
        if moved.ndim == 2:
            return left.scatter_add(1, self.targets, joining)
        if moved.requires_grad:
            joining = joining.clone()  # autograd keeps it, and must not find that its memory was added to
        # Added in place: among all rows, for those of several images' first tokens would have to be copied together.
        whole = left if len(moved) == 1 else moved
        whole.flatten(0, 1).index_add_(0, row_numbers(self.targets, whole.shape[1]), joining.flatten(0, 1))
        return left

    def mean(self, tokens: Tensor, sizes: Tensor | None) -> tuple[Tensor, Tensor]:
        """The mean of each group weighted by sizes, and the groups' sizes; None is a size of 1 for each token.

        Shape: tokens (B, n, C), sizes (B, n) → (B, m, C), (B, m).
        """
        return self.mean_of_moved(self.moved(tokens), None if sizes is None else self.moved(sizes))

    def mean_of_moved(self, moved: Tensor, sizes: Tensor | None) -> tuple[Tensor, Tensor]:
        """``mean`` of what is in the order of ``order`` already; tokens are used up.

        Shape: moved (B, m + r, C), sizes (B, m + r) → (B, m, C), (B, m).
        """
        merged = self.total_of_moved(moved.new_ones(self.order.shape) if sizes is None else sizes)
        weighted = moved if sizes is None else moved * sizes.unsqueeze(-1)
        return self.total_of_moved(weighted) / merged.unsqueeze(-1), merged

    def places(self, tokens: int) -> Tensor:
        """Where each of the n tokens lies afterwards, −1 where it was dropped. Shape: (B, n), int64.

        >>> groups = Groups(torch.tensor([[0, 2, 3]]), torch.tensor([[1]]))
        >>> groups.places(4).tolist()
        [[0, -1, 1, 1]]
        """
        places = _placed(self.kept, self.kept.new_full((len(self.kept), tokens), -1))
        return places.scatter(1, self.sources, self.targets)


def bipartite_groups(metric: Tensor, count: int, prefix: int = 1) -> Groups:
    """Bipartite soft matching: of the tokens at even positions, the ``count`` most similar join one at an odd position.

    The similarity is the cosine. The ``prefix`` first tokens join none and are joined by none; of one, the class token,
    the others' positions are counted from it, as published, of several from behind them. At most half of the tokens can
    join: ask ``most_merged``.

    Shape: metric (B, n, d).
    """
    if prefix > 1:
        return bipartite_groups(metric[:, prefix:], count, 0).behind(prefix)
    with torch.no_grad():
        unit = metric / _lengths(metric)
        similar = torch.bmm(unit[:, ::2], unit[:, 1::2].transpose(1, 2))
        if prefix:
            similar[:, 0] = -torch.inf
        best, partner = similar.max(-1)
        evens, odds = similar.shape[1:]
        rising = best.argsort(dim=1)
        joining, positions = rising[:, evens - count :], 2 * rising
        # The next matching splits by position: the order of what stays has a meaning.
        staying = positions[:, : evens - count].sort(dim=1).values
        odd = _odd(evens + odds, metric.device).expand(len(metric), -1)
        order = torch.cat([staying, odd, positions[:, evens - count :]], dim=1)
        return Groups(order, partner.gather(1, joining) + (evens - count))


def halves(tokens: int, prefix: int = 1) -> tuple[int, int]:
    """How many tokens ``bipartite_groups`` compares with how many.

    >>> halves(197), halves(201, prefix=5), halves(196, prefix=0)
    ((99, 98), (98, 98), (98, 98))
    """
    compared = tokens - prefix if prefix > 1 else tokens
    return compared - compared // 2, compared // 2


@lru_cache(maxsize=1024)
@torch.inference_mode(False)  # what is cached must serve training too
def _odd(tokens: int, device: torch.device) -> Tensor:
    return torch.arange(1, tokens, 2, device=device)


@torch.no_grad()
def cosines(tokens: Tensor, left: slice, right: slice) -> Tensor:
    """The cosines of some of an image's tokens with others of them; 0 with a token of length 0.

    Shape: tokens (B, n, d) → (B, tokens of ``left``, tokens of ``right``).

    >>> cosines(torch.tensor([[[3.0, 0.0], [0.0, 0.0], [2.0, 2.0]]]), slice(0, 1), slice(1, None))
    tensor([[[0.0000, 0.7071]]])
    """
    lengths = _lengths(tokens)
    # One side is normed, and the products of the other: its tokens are not written once more.
    unit = tokens[:, left] / lengths[:, left]
    return torch.bmm(unit, tokens[:, right].transpose(1, 2)) / lengths[:, right].transpose(1, 2)


def _lengths(tokens: Tensor) -> Tensor:
    """Euclidean, never 0: what is added is less than the last digit of any other. Shape: (B, n, d) → (B, n, 1)."""
    return torch.linalg.vector_norm(tokens, dim=-1, keepdim=True) + torch.finfo(tokens.dtype).tiny


@torch.no_grad()
def summed_over_heads(keys: Tensor) -> Tensor:
    """The sum of the heads' keys, as a metric: it points where their mean does. Shape: (B, heads, n, d) → (B, n, d)."""
    if len(keys) == 1:  # a batch of one pays for each small kernel, a larger one for reading heads that lie apart
        return keys.sum(1)
    first, *others = keys.unbind(1)
    total = first.clone()
    for head in others:
        total += head
    return total


def most_merged(tokens: int, prefix: int = 1) -> int:
    """How many of ``tokens`` tokens one bipartite matching can merge away.

    >>> most_merged(197), most_merged(13, prefix=0), most_merged(1)
    (98, 6, 0)
    """
    return max(0, tokens - prefix) // 2


def joined(places: Tensor, later: Tensor) -> Tensor:
    """Where the first tokens lie after a further step: ``places`` of one step followed by those of the ``later``.

    Shape: places (B, n) in [−1, m), later (B, m) → (B, n); what was dropped stays dropped.

    >>> joined(torch.tensor([[0, 1, -1, 1]]), torch.tensor([[1, 0]])).tolist()
    [[1, 0, -1, 0]]
    """
    return torch.where(places < 0, places, later.gather(1, places.clamp(min=0)))


def _placed(kept: Tensor, places: Tensor) -> Tensor:
    order = torch.arange(kept.shape[1], device=kept.device).expand_as(kept)
    return places.scatter(1, kept, order)
