"""Inverse transform sampling of tokens: as many distinct ones as an image's scores are spread over."""

from __future__ import annotations

import torch
from torch import Tensor


def inverse_transform_sample(scores: Tensor, present: Tensor, samples: int) -> Tensor:
    """The tokens that ``samples`` even steps through the scores' cumulative distribution hit; one hit twice is one.

    ATS, arXiv 2111.15667: scores in ascending order are summed, the sums scaled to [0, 1], and each step takes
    the nearest sum, the lower one of two. Steps go from the least sum above 0 to 1, so that the token of the lowest
    score is not drawn while another one has a score.

    Shape: scores (B, n), not negative; present (B, n), bool, one token at least → (B, n), bool.

    >>> scores = torch.tensor([[0.1, 0.5, 0.4, 9.0]])
    >>> present = torch.tensor([[True, True, True, False]])
    >>> inverse_transform_sample(scores, present, 3).tolist()
    [[False, True, True, False]]
    """
    with torch.no_grad():
        shares = scores / (scores * present).sum(1, keepdim=True)
        ascending, order = shares.masked_fill(~present, torch.inf).sort(dim=1)
        sums = ascending.masked_fill(ascending.isinf(), 0.0).cumsum(1)
        low, high = sums[:, :1], sums[:, -1:]
        scaled = (sums - low) / (high - low).clamp(min=torch.finfo(sums.dtype).tiny)
        start = scaled.masked_fill(scaled <= 0, torch.inf).amin(1, keepdim=True).clamp(max=1.0)
        steps = torch.arange(samples, device=scores.device) / max(1, samples - 1)
        wanted = start + steps * (1 - start)
        # Sums of absent tokens repeat the last one: the first of equal sums is taken, which is a token that is there.
        above = torch.searchsorted(scaled, wanted).clamp(max=scores.shape[1] - 1)
        below = (above - 1).clamp(min=0)
        nearer = wanted - scaled.gather(1, below) <= scaled.gather(1, above) - wanted
        drawn = torch.zeros_like(present).scatter(1, torch.where(nearer, below, above), True)
        return torch.zeros_like(present).scatter(1, order, drawn)
