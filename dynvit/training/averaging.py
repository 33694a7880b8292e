"""A moving average of the weights, which is what is evaluated and saved where a recipe asks for it."""

from __future__ import annotations

from timm.utils import ModelEmaV3

from dynvit.interface import DynamicModel


class WeightAverage(ModelEmaV3):
    """timm's exponential moving average, with a start that forgets the initial weights.

    The decay of update t is min(decay, (1 + t) / (10 + t)): a decay of 0.9999 over a few hundred steps would
    otherwise return the weights that training began with.

    >>> from torch import nn
    >>> average = WeightAverage(nn.Linear(1, 1), decay=0.9)
    >>> [average.get_decay(step) for step in (0, 8, 1000)]
    [0.1, 0.5, 0.9]
    """

    def get_decay(self, step: int | None = None) -> float:
        """The decay of one update; ``step`` counts from 0."""
        if step is None:
            return self.decay
        return min(self.decay, (1 + step) / (10 + step))

    def copy_to(self, model: DynamicModel) -> None:
        """Give ``model`` the averaged weights."""
        model.load_state_dict(self.module.state_dict())
