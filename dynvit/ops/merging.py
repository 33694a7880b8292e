"""Merging tokens: which tokens become one, how they are summed, and where each came to lie.

Matching follows ToMe (arXiv 2210.09461): tokens are split into two sets, each token of the first draws an edge to
the most similar one of the second, and the most similar pairs are joined. Everything is batched: one gather and one
scatter, no loop over images, no wait for the device.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dynvit.ops.tokens import gather_tokens, row_numbers


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
    """n tokens of each image become m: ``kept`` ones live on in this order, ``sources`` join some of them.

    What is neither kept nor a source is dropped.

    Shape: ``kept`` (B, m) and ``sources`` (B, r), positions among the n; ``targets`` (B, r), places among the m. int64.
    """

    kept: Tensor
    sources: Tensor
    targets: Tensor

    def total(self, values: Tensor, weights: Tensor | None = None) -> Tensor:
        """The sum over each group; ``weights`` are the sources'. Differentiable in both.

        Shape: values (B, n, C), or (B, n), weights (B, r) → (B, m, C), or (B, m).
        """
        if values.ndim == 2:
            joining = values.gather(1, self.sources)
            joining = joining if weights is None else joining * weights
            return values.gather(1, self.kept).scatter_add(1, self.targets, joining)
        return self._summed(values, weights)

    def _summed(self, tokens: Tensor, joining: Tensor | None, own: Tensor | None = None) -> Tensor:
        """``total`` of tokens, where kept ones have weights too."""
        added, whole = gather_tokens(tokens, self.sources), gather_tokens(tokens, self.kept)
        added = added if joining is None else added * joining.unsqueeze(-1)
        whole = whole if own is None else whole * own.unsqueeze(-1)
        rows = whole.flatten(0, 1)
        rows.index_add_(0, row_numbers(self.targets, whole.shape[1]), added.flatten(0, 1))
        return whole

    def mean(self, tokens: Tensor, sizes: Tensor | None) -> tuple[Tensor, Tensor]:
        """The mean of each group weighted by sizes, and the groups' sizes; None is a size of 1 for each token.

        Shape: tokens (B, n, C), sizes (B, n) → (B, m, C), (B, m).
        """
        if sizes is None:
            own, joining = (tokens.new_ones(each.shape) for each in (self.kept, self.sources))
        else:
            own, joining = sizes.gather(1, self.kept), sizes.gather(1, self.sources)
        merged = own.scatter_add(1, self.targets, joining)
        # Numbers a token are divided, not its channels: no pass over all tokens more than there must be.
        joining = joining / merged.gather(1, self.targets)
        return self._summed(tokens, joining, own / merged), merged

    def places(self, tokens: int) -> Tensor:
        """Where each of the n tokens lies afterwards, −1 where it was dropped. Shape: (B, n), int64.

        >>> groups = Groups(torch.tensor([[0, 2]]), torch.tensor([[3]]), torch.tensor([[1]]))
        >>> groups.places(4).tolist()
        [[0, -1, 1, 1]]
        """
        places = _placed(self.kept, self.kept.new_full((len(self.kept), tokens), -1))
        return places.scatter(1, self.sources, self.targets)


def bipartite_groups(metric: Tensor, count: int, class_token: bool = True) -> Groups:
    """Bipartite soft matching: of the tokens at even positions, the ``count`` most similar join one at an odd position.

    The similarity is the cosine. A class token, the first, joins none and is joined by none. At most half of the tokens
    can join: ask ``most_merged``.

    Shape: metric (B, n, d).
    """
    with torch.no_grad():
        similar = cosines(metric, slice(0, None, 2), slice(1, None, 2))
        if class_token:
            similar[:, 0] = -torch.inf
        best, partner = similar.max(-1)
        evens, odds = similar.shape[1:]
        order = best.argsort(dim=1)
        joining = order[:, evens - count :]
        # The next matching splits by position: the order of what stays has a meaning.
        staying = order[:, : evens - count].sort(dim=1).values
        odd = torch.arange(1, evens + odds, 2, device=metric.device).expand(len(metric), -1)
        kept = torch.cat([2 * staying, odd], dim=1)
        return Groups(kept, 2 * joining, partner.gather(1, joining) + (evens - count))


@torch.no_grad()
def cosines(tokens: Tensor, left: slice, right: slice) -> Tensor:
    """The cosines of some of an image's tokens with others of them; 0 with a token of length 0.

    Shape: tokens (B, n, d) → (B, tokens of ``left``, tokens of ``right``).

    >>> cosines(torch.tensor([[[3.0, 0.0], [0.0, 0.0], [2.0, 2.0]]]), slice(0, 1), slice(1, None))
    tensor([[[0.0000, 0.7071]]])
    """
    lengths = torch.linalg.vector_norm(tokens, dim=-1).clamp_(min=torch.finfo(tokens.dtype).tiny)
    # One side is normed, and the products of the other: its tokens are not written once more.
    unit = tokens[:, left] / lengths[:, left].unsqueeze(-1)
    return torch.bmm(unit, tokens[:, right].transpose(1, 2)) / lengths[:, right].unsqueeze(1)


@torch.no_grad()
def summed_over_heads(keys: Tensor) -> Tensor:
    """The sum of the heads' keys, as a metric: it points where their mean does. Shape: (B, heads, n, d) → (B, n, d)."""
    first, *others = keys.unbind(1)
    total = first.clone()
    for head in others:
        total += head
    return total


def most_merged(tokens: int, class_token: bool = True) -> int:
    """How many of ``tokens`` tokens one bipartite matching can merge away.

    >>> most_merged(197), most_merged(13, class_token=False), most_merged(1)
    (98, 6, 0)
    """
    return max(0, tokens - class_token) // 2


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
