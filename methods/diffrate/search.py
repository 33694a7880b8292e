"""DiffRate's search: how many tokens each block prunes and merges, by gradient (Chen et al., arXiv 2305.17997, §3).

For each block, and for pruning and merging apart, there are candidate counts c_k of patches that are left, chosen with
probabilities ρ = softmax(logits). The count that runs is the expectation Σ ρ_k c_k, rounded up. Tokens are ranked by
class attention; the one of rank i is kept with the probability π_i = Σ ρ_k over the c_k of at least i. Its mask is 1
or 0 by the count that runs, and has the gradient of π_i (straight through); masked tokens are no keys of later
attention. The same counts, straight through, give the MACs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from dynvit import cost
from dynvit.backbones.block import attention_inputs, attention_output, mlp_output
from dynvit.backbones.vit import PlainViT
from dynvit.interface import Part, Usage
from dynvit.ops.attention import masked_attention
from dynvit.ops.gates import straight_through
from dynvit.ops.tokens import gather_tokens, with_prefix

from .schedules import Counts

EXACT = 1e-9
"""An expectation that is a whole number but for rounding is that number."""


class CountSearch(nn.Module):
    """The learned distributions of every block but the first, and the counts that came of them.

    ``counts``, tokens left after pruning and after merging, are what a checkpoint holds: no rounding on another machine
    changes them. Before the search is over nothing is dropped.

    Shape: ``logits`` (depth − 1, 2, candidates), ``counts`` (depth, 2), int64.
    """

    counts: Tensor
    candidates: Tensor

    def __init__(self, vit: PlainViT, every: int) -> None:
        super().__init__()
        shape, self.tokens, self.prefix = vit.shape, vit.shape.tokens, vit.shape.prefix
        candidates = torch.arange(shape.patches, 0, -every)
        self.logits = nn.Parameter(torch.zeros(shape.depth - 1, 2, len(candidates)))
        self.register_buffer("candidates", candidates, persistent=False)
        self.register_buffer("counts", torch.full((shape.depth, 2), self.tokens))
        self.patches = shape.patches

    def found(self) -> Counts:
        """The counts, block by block."""
        prune, merge = self.counts.T.tolist()
        return tuple(prune), tuple(merge)

    def probabilities(self) -> Tensor:
        """ρ of every candidate, in float64: a count must not depend on rounding. Shape: as ``logits``."""
        return self.logits.double().softmax(-1)

    def expected(self) -> Tensor:
        """Tokens left in each block after pruning and after merging, with the gradient of the expectation.

        A count is at most what is left when its turn comes. Shape: (depth, 2), float64, whole numbers.
        """
        mean = self.probabilities() @ self.candidates.double()
        whole = straight_through((mean - EXACT).ceil(), mean) + self.prefix
        left = whole.new_tensor(self.tokens)
        rows = [torch.stack([left, left])]
        for prune, merge in whole:
            pruned = torch.minimum(left, prune)
            left = torch.minimum(pruned, merge)
            rows.append(torch.stack([pruned, left]))
        return torch.stack(rows)

    def kept(self) -> Tensor:
        """π of every rank, prefix tokens first, which are always kept. Shape: (depth − 1, 2, tokens), float64."""
        ranks = torch.arange(1, self.patches + 1, device=self.logits.device)
        reached = self.candidates[:, None] >= ranks
        chances = self.probabilities() @ reached.double()
        return torch.cat([chances.new_ones(*chances.shape[:2], self.prefix), chances], dim=-1)


@runtime_checkable
class Searchable(Protocol):
    """A model whose counts are searched. ``merge`` is what its executed form does."""

    vit: PlainViT
    search: CountSearch

    def merge(self, ranked: Tensor, sizes: Tensor, merged: int) -> tuple[Tensor, Tensor]:
        """The first ``merged`` of tokens in the order of their ranks, and their sizes, after the others joined them.

        Shape: ranked (B, n, width), sizes (B, n) → (B, merged, width), (B, merged).
        """
        ...


@dataclass(frozen=True)
class Searched:
    """A pass with masks: its logits and MACs are those of the executed model at ``counts``, and have gradients.

    Shape: ``logits`` (B, classes), ``macs`` (), ``counts`` (depth, 2), int64. Units: ``macs`` an image.
    """

    logits: Tensor
    macs: Tensor
    counts: Tensor


@dataclass(frozen=True)
class _Tokens:
    """All tokens of each image, the kept ones first. Shape: (B, n, width), ``sizes`` and ``policy`` (B, n)."""

    tokens: Tensor
    sizes: Tensor
    policy: Tensor

    def ranked(self, scores: Tensor) -> _Tokens:
        """Prefix tokens, then patches in the order of their scores. Shape: scores (B, patches)."""
        order = with_prefix(scores.argsort(dim=1, descending=True), self.tokens.shape[1] - scores.shape[1])
        return _Tokens(gather_tokens(self.tokens, order), self.sizes.gather(1, order), self.policy.gather(1, order))


def searched(model: Searchable, images: Tensor) -> Searched:
    """A pass in which what is dropped keeps its place, behind a mask.

    Shape: images (B, 3, H, W). Units: pixels in [0, 1].
    """
    vit, expected, chances = model.vit, model.search.expected(), model.search.kept()
    counts = expected.detach().round().long()
    numbers: list[tuple[int, int]] = [tuple(row) for row in counts.tolist()]
    embedded = vit.embed(images)
    ones = embedded.new_ones(embedded.shape[:2])
    state = _Tokens(embedded, ones, ones)
    for index, block in enumerate(vit.blocks):
        if index == 0:
            state = _Tokens(block(state.tokens), ones, ones)
            continue
        tokens, scores = _attended(block, state, model.search.prefix)
        state = _Tokens(tokens, state.sizes, state.policy).ranked(scores)
        pruned, merged = numbers[index]
        policy = _masked(state.policy, numbers[index - 1][1], pruned, merged, chances[index - 1])
        tokens, sizes = state.tokens, state.sizes
        if merged < pruned:
            tokens, sizes = model.merge(tokens[:, :pruned], sizes[:, :pruned], merged)
            tokens = torch.cat([tokens, state.tokens[:, merged:]], dim=1)
            sizes = torch.cat([sizes, state.sizes[:, merged:]], dim=1)
        state = _Tokens(mlp_output(block, tokens), sizes, policy)
    return Searched(vit.classify(state.tokens), macs_of(vit, expected), counts)


def macs_of(vit: PlainViT, counts: Tensor) -> Tensor:
    """MACs of one image, differentiable in the counts. Shape: counts (depth, 2), float64 → ()."""
    pruned, merged = counts.unbind(1)
    entering = [counts.new_tensor(vit.shape.tokens), *merged[:-1]]
    extra: list[Part] = [
        cost.Matching("matching", before - after, after, vit.shape.width)
        for before, after in zip(pruned, merged, strict=True)
    ]
    usage = vit.usage(counts.new_empty(1, 0), entering, list(merged), extra)
    return cost.macs(usage)[0]


def within(vit: PlainViT, counts: Tensor, macs: float) -> Tensor:
    """The counts, in their proportions, as large as ``macs`` allow: an expectation never meets a target to the token.

    What proportions leave is given to blocks from the second on, a token each, where it is enough for one. The first
    block keeps all. Shape: counts (depth, 2), int64 → the same. Units: ``macs`` of an image.
    """
    prefix, patches = vit.shape.prefix, vit.shape.patches

    def scaled(thousandths: int) -> Tensor:
        left = ((counts - prefix) * thousandths + 500) // 1000
        return torch.cat([counts[:1], left[1:].clamp(1, patches) + prefix])

    low, high = 0, 1000 * patches
    while high - low > 1:
        middle = (low + high) // 2
        if macs_of(vit, scaled(middle).double()) <= macs:
            low = middle
        else:
            high = middle
    found = scaled(low)
    for index in range(1, len(found)):
        more = found.clone()
        more[index] = torch.minimum(found[index] + 1, found[index - 1, 1])
        if macs_of(vit, more.double()) <= macs:
            found = more
    return found


def lowest_share(vit: PlainViT, search: CountSearch) -> float:
    """What the cheapest counts cost, as a fraction of the backbone's MACs."""
    least = search.prefix + int(search.candidates[-1])
    counts = torch.full((vit.shape.depth, 2), float(least), dtype=torch.float64)
    counts[0] = search.tokens
    return float(macs_of(vit, counts)) / dense_macs(vit)


def dense_macs(vit: PlainViT) -> int:
    """MACs of the whole backbone on an image, in closed form."""
    return int(cost.macs(Usage(1, tuple(vit.parts()))))


def _attended(block: Block, state: _Tokens, prefix: int) -> tuple[Tensor, Tensor]:
    """The attention half of a block over the tokens that are left, and patches' scores, below 0 where one is gone."""
    queries, keys, values = attention_inputs(block, state.tokens)
    bias = state.sizes.log()[:, None, None]
    every = bias.expand(-1, 1, bias.shape[-1], -1)
    mixed = masked_attention(queries, keys, values, state.policy, block.attn.scale, bias=every)
    with torch.no_grad():
        gone = state.policy <= 0
        logits = (queries[:, :, 0:1] * block.attn.scale @ keys.transpose(-2, -1) + bias).squeeze(2)
        weights = logits.masked_fill(gone[:, None], -torch.inf).softmax(-1).mean(1).masked_fill(gone, -1.0)
    return attention_output(block, state.tokens, mixed), weights[:, prefix:]


def _masked(policy: Tensor, left: int, pruned: int, merged: int, chances: Tensor) -> Tensor:
    """The policy of ranked tokens after those from ``pruned`` on were dropped, and those from ``merged`` on merged.

    Args:
        policy: 1 for each of the first ``left``, 0 for others. Shape: (B, n).
        left: tokens that were left before.
        pruned: tokens that are left after pruning.
        merged: tokens that are left after merging.
        chances: π of both choices. Shape: (2, n).

    Returns: the policy, of the same shape, with the gradient of π.
    """
    for (first, last), chance in zip(((pruned, left), (merged, pruned)), chances.to(policy.dtype), strict=True):
        # What an earlier choice dropped is not dropped again: its gradient goes to that choice.
        hard = torch.ones_like(chance)
        hard[first:last] = 0.0
        policy = policy * straight_through(hard, chance)
    return policy
