"""Schedules: progress of a stage → factor on a group's learning rate; and the progress itself, for losses."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from dynvit.interface import Schedule, constant

__all__ = ["Schedule", "StageProgress", "constant", "cosine", "linear", "scaled_lr"]


def cosine(warmup_epochs: float = 0.0, floor: float = 0.0) -> Schedule:
    """Linear warm-up from ``floor`` to 1 over ``warmup_epochs``, then half a cosine down to ``floor``.

    SGDR's schedule without restarts (Loshchilov and Hutter, 2017, equation 5), as DeiT and its descendants train.

    >>> schedule = cosine(warmup_epochs=2, floor=0.1)
    >>> [round(schedule(epoch, 10), 3) for epoch in (0, 1, 2, 6, 10)]
    [0.1, 0.55, 1.0, 0.55, 0.1]
    """
    return _falling(warmup_epochs, floor, lambda done: (1 + math.cos(math.pi * done)) / 2)


def linear(warmup_epochs: float = 0.0, floor: float = 0.0) -> Schedule:
    """The same warm-up, then linear decay to ``floor``.

    >>> linear()(5, 10)
    0.5
    """
    return _falling(warmup_epochs, floor, lambda done: 1 - done)


def scaled_lr(lr: float, batch_size: int, per: int) -> float:
    """The learning rate of a batch by the linear scaling rule, for papers that state it ``per`` a number of images.

    >>> scaled_lr(5e-4, 1024, per=512)
    0.001
    """
    return lr * batch_size / per


@dataclass
class StageProgress:
    """Progress of a stage from 0 to 1, known from its learning rate schedule, which is called before each step.

    It follows from the step alone, so that a training which is killed and continued goes on where it was.
    """

    done: float = 0.0

    def track(self, law: Schedule) -> Schedule:
        """The same schedule, whose calls update ``done``.

        >>> progress = StageProgress()
        >>> progress.track(linear())(3, 12), progress.done
        (0.75, 0.25)
        """

        def schedule(epoch: float, epochs: float) -> float:
            self.done = min(epoch / epochs, 1.0)
            return law(epoch, epochs)

        return schedule


def _falling(warmup: float, floor: float, decay: Callable[[float], float]) -> Schedule:
    def schedule(epoch: float, epochs: float) -> float:
        if epoch < warmup:
            return floor + (1 - floor) * epoch / warmup
        # A warm-up as long as the stage leaves no epochs for the decay.
        done = min((epoch - warmup) / (epochs - warmup), 1.0) if epochs > warmup else 0.0
        return floor + (1 - floor) * decay(done)

    return schedule
