"""Attention in which some keys are dropped, dense in shape and differentiable in what is dropped.

A policy p has 1 for each token that is kept, 0 for one that is dropped. Token i attends to token j as
G_ij = p_j, and always to itself, G_ii = 1 (DynamicViT, arXiv 2106.02034, §3.3):

    A_ij = exp(P_ij) G_ij / Σ_k exp(P_ik) G_ik

Kept tokens then attend to kept tokens only, as if the dropped ones were removed; gradients reach p through G.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

SoftmaxForm = Literal["exact", "published"]
"""``exact`` is the equation. ``published`` is what the reference code computes: the row maximum is taken over
dropped keys too, and ε = 1e-6 is spread over all keys. With ordinary logits the two differ by 1e-6; where a
dropped key is far above the kept ones, the published form tends to a uniform row over all keys."""

PUBLISHED_EPSILON = 1e-6


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
