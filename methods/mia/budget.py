"""From a budget to thresholds: how far a trained policy is pushed, in its own proportions."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import cache

import torch
from torch import Tensor

from .gates import GateLogits, Thresholds
from .options import DIMENSIONS

IMAGES = 256
"""Calibration images that are looked at: enough for a mean cost within a percent."""
LEAST_SHARE = 0.02
"""A dimension that drops less than this, or keeps less, is pushed as if it did: a push must lead somewhere."""
LOGIT_RANGE = 30.0
"""Log-odds beyond which float64 no longer tells a probability from 1."""
PUSHES = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.5, 7.0, 11.0, 20.0, 60.0, math.inf)
"""Where the cost is measured first; 1 is the trained policy, infinity drops everything."""
REFINEMENTS = 5


class Pushed:
    """Thresholds along one path: share k of a dimension that is kept becomes k^push.

    Push 0 keeps everything, 1 is the policy as it was trained, and more drops most where training already dropped
    most, so that a dimension it learned to leave alone is left alone longest. Thresholds are quantiles of calibration
    logits, so gates that are far from one half are told apart too.

    Shape: ``logits`` by dimension, those of all blocks and images in one row.
    """

    def __init__(self, logits: dict[str, Tensor]) -> None:
        self._sorted = {
            name: found.double().clamp(-LOGIT_RANGE, LOGIT_RANGE).sort().values for name, found in logits.items()
        }

    @classmethod
    def of(cls, gates: Iterable[Sequence[GateLogits]]) -> Pushed:
        """From the logits of several batches, a sequence of blocks each."""
        found: dict[str, list[Tensor]] = {name: [] for name in DIMENSIONS}
        for blocks in gates:
            for block in blocks:
                for name in DIMENSIONS:
                    logits = getattr(block, name)
                    if logits is not None:
                        found[name].append(logits.detach().flatten().cpu())
        return cls({name: torch.cat(rows) for name, rows in found.items() if rows})

    def thresholds(self, push: float) -> Thresholds:
        """The thresholds of one push; 0.5 each at 1."""
        if push == 0:
            return Thresholds(0.0, 0.0, 0.0)
        if push == math.inf:
            return Thresholds(1.0, 1.0, 1.0)
        if push == 1:
            return Thresholds()
        return Thresholds(**{name: self._threshold(rising, push) for name, rising in self._sorted.items()})

    def _threshold(self, rising: Tensor, push: float) -> float:
        """Half way between the last logit that is dropped and the first that is kept."""
        count = len(rising)
        kept = min(max(float((rising > 0).double().mean()), LEAST_SHARE), 1 - LEAST_SHARE)
        dropped = count - round(count * kept**push)
        if dropped >= count:
            return 1.0
        below = rising[dropped - 1] if dropped else rising[0] - 1
        return float(torch.sigmoid((below + rising[dropped]) / 2))


def climb(macs_at: Callable[[float], float], budgets: Sequence[float]) -> list[float]:
    """For each budget the push of the dearest point that was found within it; of none, the cheapest found.

    Costs along a path are steady only by and large: a later block decides on what an earlier one left.

    Units: ``budgets`` and what ``macs_at`` returns in MACs per image.
    """
    known = cache(macs_at)
    chosen = []
    for budget in budgets:
        tried = {push: known(push) for push in PUSHES}
        for _ in range(REFINEMENTS):
            within = [push for push, macs in tried.items() if macs <= budget]
            if not within:
                break
            best = max(within, key=lambda push: tried[push])
            nearest = max((push for push in tried if push < best), default=None)
            if nearest is None or tried[nearest] <= budget:
                break
            middle = (best + nearest) / 2 if math.isfinite(best) else 4 * nearest
            tried[middle] = known(middle)
        within = [push for push, macs in tried.items() if macs <= budget * (1 + 1e-9)]
        best = max(within, key=lambda push: tried[push]) if within else min(tried, key=lambda push: tried[push])
        chosen.append(best)
    return chosen
