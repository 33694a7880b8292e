"""Attention as methods need it: weighted by sizes, with the class row's weights at hand, or with keys dropped.

Dropped keys stay in the shape, and the choice of what is dropped is differentiable. A policy p has 1 for each token
that is kept, 0 for one that is dropped. Token i attends to token j as G_ij = p_j, and always to itself, G_ii = 1
(DynamicViT, arXiv 2106.02034, §3.3):

    A_ij = exp(P_ij) G_ij / Σ_k exp(P_ik) G_ik

Kept tokens then attend to kept tokens only, as if the dropped ones were removed; gradients reach p through G.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

SoftmaxForm = Literal["exact", "published"]
"""``exact`` is the equation. ``published`` is what the reference code computes: the row maximum is taken over
dropped keys too, and ε = 1e-6 is spread over all keys. With ordinary logits the two differ by 1e-6; where a
dropped key is far above the kept ones, the published form tends to a uniform row over all keys."""

PUBLISHED_EPSILON = 1e-6


def size_weighted_attention(
    queries: Tensor, keys: Tensor, values: Tensor, scale: float, sizes: Tensor | None
) -> Tensor:
    """Proportional attention: softmax(scale · QKᵀ + ln s) V, a key of size s counting as s equal ones.

    ToMe, arXiv 2210.09461, Eq. 1. None is a size of 1 for each: ordinary attention.

    Shape: queries (B, heads, m, d), keys (B, heads, n, d), values (B, heads, n, d'), sizes (B, n) → (B, heads, m, d').
    """
    return F.scaled_dot_product_attention(queries, keys, values, attn_mask=_log(sizes, queries), scale=scale)


def class_row_attention(
    queries: Tensor, keys: Tensor, values: Tensor, scale: float, sizes: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """``size_weighted_attention``, and the weights of the first query, which is the class token's.

    Only that row is made as weights: the others go through the fused kernel, and no product runs twice.

    Shape: queries, keys (B, heads, n, d), values (B, heads, n, d'), sizes (B, n) → (B, heads, n, d'), weights
    (B, heads, n).
    """
    bias = _log(sizes, queries)
    # Keys by a query, and not a query by keys: a batch's keys would be copied turned, which takes thrice as long.
    logits = (keys @ (queries[:, :, 0] * scale).unsqueeze(-1)).transpose(-2, -1)
    weights = (logits if bias is None else logits + bias).softmax(-1)
    rest = F.scaled_dot_product_attention(queries[:, :, 1:], keys, values, attn_mask=bias, scale=scale)
    # Joined as the kernel lays its output out, token by token: heads are then joined without a copy.
    mixed = torch.cat([(weights @ values).transpose(1, 2), rest.transpose(1, 2)], dim=1)
    return mixed.transpose(1, 2), weights[:, :, 0]


def _log(sizes: Tensor | None, like: Tensor) -> Tensor | None:
    """ln s as a bias on keys. Shape: (B, n) → (B, 1, 1, n)."""
    return None if sizes is None else sizes.log().to(like.dtype)[:, None, None]


def published_softmax(logits: Tensor, present: Tensor) -> Tensor:
    """The softmax over present keys in the published form: ε is spread over them.

    Shape: logits (B, heads, m, n), present (B, n), bool → (B, heads, m, n).
    """
    seen = present[:, None, None].to(logits.dtype)
    highest = logits.detach().masked_fill(~present[:, None, None], -torch.inf).amax(-1, keepdim=True)
    weights = (logits - highest).exp() * seen
    spill = PUBLISHED_EPSILON / seen.sum(-1, keepdim=True) * seen
    return (weights + spill) / (weights.sum(-1, keepdim=True) + PUBLISHED_EPSILON)


def masked_softmax(logits: Tensor, policy: Tensor, form: SoftmaxForm = "exact") -> Tensor:
    """The attention matrix A under a policy.

    Shape: logits (B, heads, N, N), policy (B, N) → (B, heads, N, N).
    """
    own = torch.eye(logits.shape[-1], dtype=policy.dtype, device=policy.device)
    keys = policy[:, None, None, :]
    seen = keys + (1 - keys) * own
    weights = _exponentials(logits, logits.diagonal(dim1=-2, dim2=-1), policy, form)[0] * seen
    if form == "exact":
        return weights / weights.sum(-1, keepdim=True)
    spill = PUBLISHED_EPSILON / logits.shape[-1]
    return (weights + spill) / (weights.sum(-1, keepdim=True) + PUBLISHED_EPSILON)


def masked_attention(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    policy: Tensor,
    scale: float,
    form: SoftmaxForm = "exact",
    bias: Tensor | None = None,
) -> Tensor:
    """``masked_softmax(scale · QKᵀ + bias, policy) @ V`` with no N×N mask.

    The policy multiplies the values, N×d numbers a head, and a dropped token's attention to itself is added.

    Shape: queries, keys (B, heads, N, d), values (B, heads, N, d'), policy (B, N), the class token included,
    bias (heads, N, N) → (B, heads, N, d').
    """
    queries = queries * scale
    logits = queries @ keys.transpose(-2, -1)
    own = (queries * keys).sum(-1)
    if bias is not None:
        logits = logits + bias
        own = own + bias.diagonal(dim1=-2, dim2=-1)
    weights, own_weight = _exponentials(logits, own, policy, form)
    seen = policy[:, None, :, None].to(weights.dtype)
    own_weight = own_weight.unsqueeze(-1) * (1 - seen)
    # Mixed precision may round the values, not the sum that divides them.
    with torch.autocast(logits.device.type, enabled=False):
        total = weights @ seen + own_weight
    mixed = weights @ (seen * values) + own_weight * values
    if form == "exact":
        return mixed / total
    return (mixed + PUBLISHED_EPSILON * values.mean(-2, keepdim=True)) / (total + PUBLISHED_EPSILON)


def _exponentials(logits: Tensor, own: Tensor, policy: Tensor, form: SoftmaxForm) -> tuple[Tensor, Tensor]:
    """exp(P − a row's maximum), all of it and its diagonal, in float32 at least."""
    if logits.dtype in (torch.float16, torch.bfloat16):
        logits, own = logits.float(), own.float()
    highest = logits.detach()
    if form == "published":
        highest = highest.amax(-1)
        return (logits - highest.unsqueeze(-1)).exp(), (own - highest).exp()
    highest = highest.masked_fill(policy[:, None, None, :] <= 0, -torch.inf).amax(-1)
    highest = torch.maximum(highest, own.detach())
    # A dropped key may exceed the maximum of the kept ones. Its weight is zero, but infinity times zero would not be.
    # The bound is not 0: the maximum itself is there, and torch 2.15 gives a value at a clamp's bound no gradient.
    return (logits - highest.unsqueeze(-1)).clamp(max=1).exp(), (own - highest).exp()
