"""MACs of the rounds by three conventions: what runs here, what the published code runs, what its tables say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from dynvit.units import GIGA

from .model import ThinkingViTModel

OFFICIAL_GMACS = {2: 0.6, 3: 1.25, 6: 4.6, 12: 17.56}
"""The published tables' constants, by heads: dense DeiTs, without projections. Units: GMACs a round."""


@dataclass(frozen=True)
class Conventions:
    """What an image costs that is answered in each round, the rounds before included. Units: MACs.

    ``executed`` is what runs here, and all that dynvit reports. ``reference`` is what a round runs in the published
    code, which embeds at full width and projects to it in each; its forward runs every round for every image.
    ``official`` has the constants of the published tables; None where they have none.
    """

    executed: Sequence[int]
    reference: Sequence[int]
    official: Sequence[int] | None


def conventions(model: ThinkingViTModel) -> Conventions:
    """The three counts of a model's rounds."""
    shape, widths = model.nested.vit.shape, model.widths
    fan_in = shape.channels * shape.patch_size[0] * shape.patch_size[1]
    executed, reference = model.exit_macs(), []
    for index, wide in enumerate(widths):
        narrow = widths[index - 1] if index else 0
        own = executed[index] - (executed[index - 1] if index else 0)
        embedding = shape.patches * fan_in * (shape.width - (wide - narrow))
        reference.append(own + embedding + (1 + shape.patches) * narrow * (shape.width - wide))
    return Conventions(executed, tuple(accumulate(reference)), _official(model))


def _official(model: ThinkingViTModel) -> Sequence[int] | None:
    shape = model.nested.vit.shape
    deit = (shape.head_dim, shape.depth, shape.patches) == (64, 12, 196)
    if not deit or not all(heads in OFFICIAL_GMACS for heads in model.rounds):
        return None
    return tuple(accumulate(round(OFFICIAL_GMACS[heads] * GIGA) for heads in model.rounds))
