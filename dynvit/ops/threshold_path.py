"""From a budget to thresholds: a trained policy scaled to drop less or more, in its own proportions."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache

import torch
from torch import Tensor

from dynvit.ops.thresholds import log_odds

LEAST_SHARE = 0.02
"""Kept and dropped shares are at least this, so that every dimension changes with the strength."""
LOGIT_RANGE = 30.0
"""Log-odds beyond which a probability rounds to 1 in float64."""
STRENGTHS = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.5, 7.0, 11.0, 20.0, 60.0, math.inf)
"""Where the cost is measured first; 1 is the trained policy, infinity drops everything."""
REFINEMENTS = 5

Gates = Mapping[str, Tensor | None]
"""A block's logits by dimension, None where it decided nothing."""


class ThresholdPath:
    """Thresholds along one path: the kept share k of each dimension becomes k^strength.

    Strength 0 keeps everything, 1 is the trained policy, and more drops most where training already dropped most, so
    that a dimension that training kept whole is kept longest. Thresholds are quantiles of calibration logits, so gates
    far from the trained threshold are separated too.

    ``trained`` has the threshold of each dimension that training aims at. Shape: ``logits`` by dimension, those of all
    blocks and images in one row.
    """

    def __init__(self, logits: Mapping[str, Tensor], trained: Mapping[str, float]) -> None:
        self._trained = dict(trained)
        self._sorted = {
            name: found.double().clamp(-LOGIT_RANGE, LOGIT_RANGE).sort().values for name, found in logits.items()
        }

    @classmethod
    def of(cls, batches: Iterable[Iterable[Gates]], trained: Mapping[str, float]) -> ThresholdPath:
        """From the logits of several batches, those of each block."""
        found: dict[str, list[Tensor]] = {name: [] for name in trained}
        for blocks in batches:
            for block in blocks:
                for name, rows in found.items():
                    logits = block.get(name)
                    if logits is not None:
                        rows.append(logits.detach().flatten().cpu())
        return cls({name: torch.cat(rows) for name, rows in found.items() if rows}, trained)

    def thresholds(self, strength: float) -> dict[str, float]:
        """The thresholds of one strength by dimension: 0 keeps all, 1 drops all, as P(keep)."""
        if strength == 0:
            return dict.fromkeys(self._trained, 0.0)
        if strength == math.inf:
            return dict.fromkeys(self._trained, 1.0)
        if strength == 1:
            return dict(self._trained)
        return self._trained | {name: self._threshold(name, strength) for name in self._sorted}

    def _threshold(self, name: str, strength: float) -> float:
        """Midway between the last logit that is dropped and the first that is kept."""
        rising = self._sorted[name]
        count = len(rising)
        kept = min(max(float((rising > log_odds(self._trained[name])).double().mean()), LEAST_SHARE), 1 - LEAST_SHARE)
        dropped = count - round(count * kept**strength)
        if dropped >= count:
            return 1.0
        below = rising[dropped - 1] if dropped else rising[0] - 1
        return float(torch.sigmoid((below + rising[dropped]) / 2))


def strengths_for(macs_at: Callable[[float], float], budgets: Sequence[float]) -> list[float]:
    """For each budget the strength of the most expensive point found within it; where there is none, of the cheapest.

    Costs along a path are only roughly monotone: a later block decides on what an earlier one kept.

    Units: ``budgets`` and what ``macs_at`` returns in MACs per image.
    """
    known = cache(macs_at)
    chosen = []
    for budget in budgets:
        tried = {strength: known(strength) for strength in STRENGTHS}
        for _ in range(REFINEMENTS):
            within = [strength for strength, macs in tried.items() if macs <= budget]
            if not within:
                break
            best = max(within, key=lambda strength: tried[strength])
            nearest = max((strength for strength in tried if strength < best), default=None)
            if nearest is None or tried[nearest] <= budget:
                break
            middle = (best + nearest) / 2 if math.isfinite(best) else 4 * nearest
            tried[middle] = known(middle)
        within = [strength for strength, macs in tried.items() if macs <= budget * (1 + 1e-9)]
        best = (
            max(within, key=lambda strength: tried[strength])
            if within
            else min(tried, key=lambda strength: tried[strength])
        )
        chosen.append(best)
    return chosen
