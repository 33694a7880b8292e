"""A machine whose clock only work advances, and models of given duration."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from dynvit.cost import Linear
from dynvit.interface import Prediction, Usage
from dynvit.measurements.speed.speed_test import SpeedTest
from dynvit.measurements.speed.timed_model import TimedModel
from dynvit.measurements.speed.timer import wall_timer

DENSE_MACS = 300


class FakeMachine:
    """A clock that only work advances. ``load`` slows whatever runs. Units: seconds."""

    def __init__(self) -> None:
        self.now = 0.0
        self.load = 1.0

    def clock(self) -> float:
        return self.now

    def work(self, *seconds: float) -> Callable[[], None]:
        """Takes each of ``seconds`` in order, then the last one each time."""
        left = list(seconds)

        def call() -> None:
            self.now += left.pop(0) if len(left) > 1 else left[0]

        return call


@dataclass
class FakeModel:
    """A model that takes ``cost(image)`` seconds for each image, and a hundred MACs a second.

    Above ``fits`` images a batch it raises ``error``. ``ran`` collects the sizes of the batches that it was given.
    """

    machine: FakeMachine
    cost: Callable[[Tensor], Tensor]
    fits: int = 1 << 30
    error: BaseException = field(default_factory=MemoryError)
    ran: list[int] = field(default_factory=list)
    before: Callable[[], None] = lambda: None

    def __call__(self, images: Tensor) -> Prediction:
        self.before()
        if len(images) > self.fits:
            raise self.error
        self.ran.append(len(images))
        seconds = self.cost(images)
        self.machine.now += float(seconds.sum()) * self.machine.load
        return Prediction(torch.zeros(len(images), 2), Usage(len(images), (Linear("work", 100 * seconds, 1, 1),)))


def always(seconds: float) -> Callable[[Tensor], Tensor]:
    return lambda images: torch.full((len(images),), seconds, dtype=torch.float64)


def by_pixel(images: Tensor) -> Tensor:
    """Bright images are hard: 4 seconds, dark ones 1."""
    return 1 + 3 * images[:, 0, 0, 0].double()


def speed_test(dense: FakeModel, method: FakeModel, pixels: Tensor | None = None, **more: Any) -> SpeedTest:
    """Dense against a method, on a fake clock. Every second image is bright where nothing is given."""
    if pixels is None:
        pixels = torch.tensor([0, 255], dtype=torch.uint8).repeat(256).view(-1, 1, 1, 1).expand(-1, 3, 2, 2)
    return SpeedTest(
        dense=TimedModel("the dense backbone", nn.Linear(2, 2), dense, "dense"),
        method=TimedModel("demo", nn.Linear(2, 2), method, "predict"),
        pixels=pixels,
        dense_macs=DENSE_MACS,
        device=torch.device("cpu"),
        timer=wall_timer(lambda: None, method.machine.clock),
        **more,
    )


def sizes(found: Sequence[Any]) -> list[tuple[int, int]]:
    """(asked, measured) of each timing."""
    return [(timing.asked, timing.batch_size) for timing in found]
