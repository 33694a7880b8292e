"""A few steps of a training's stages, for what a whole one would take."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from statistics import median

from accelerate import Accelerator

from dynvit.data.training import TrainingBatches
from dynvit.interface import Batch, ParamGroup, Stage
from dynvit.measurements.speed.memory import own_bytes, peak_bytes
from dynvit.training import optimization
from dynvit.training.mixing import Mixer
from dynvit.training.prepared import Prepared
from dynvit.training.running import RunningStage
from dynvit.training.trainer import steps_before

TIMED = 3
"""Steps of each stage that are timed, after one that shows its memory."""


@dataclass(frozen=True)
class StageForecast:
    """A stage before it runs, with the ``steps`` of all its epochs.

    Units: ``step_s`` seconds, with the loading of its images; ``bytes`` at its peak.
    """

    name: str
    epochs: int
    may_end_early: bool
    steps: int
    rates: str
    step_s: float
    bytes: int | None

    @property
    def seconds(self) -> float:
        """Of the whole stage, if it does not end early."""
        return self.steps * self.step_s


@dataclass(frozen=True)
class Larger:
    """How many times larger a step, and a piece of it, are than what is tried."""

    step: float
    piece: float


def batches_of(loader: TrainingBatches, mixer: Mixer, accelerator: Accelerator) -> Iterator[Batch]:
    """Training batches without end, on the device."""
    for epoch in count():
        for images, labels in loader.epoch(epoch):
            yield mixer(images.to(accelerator.device), labels.to(accelerator.device))


def tried(
    stage: Stage, prepared: Prepared, batches: Iterator[Batch], accelerator: Accelerator, steps: int, larger: Larger
) -> StageForecast:
    """A stage by a few of its steps, on the model as the stages before it left it.

    Args:
        stage: of the training.
        prepared: the training; its model is trained a little.
        batches: without end.
        accelerator: what it runs on.
        steps: of the whole training split.
        larger: time and activations grow with the number of images; weights and moments do not.
    """
    model = prepared.model
    if stage.begin is not None:
        stage.begin(model)
    running = RunningStage(stage, model, prepared.recipe, accelerator, None)
    optimization.set_train_mode(model, stage)
    running.rate(0.0)
    first = next(batches)
    running.step([first])  # makes the optimiser's moments, which stay
    peak = peak_bytes(lambda: running.step([first]), accelerator.device)
    moments = 2 * sum(p.numel() * p.element_size() for group in running.groups for p in group.parameters)
    times = []
    for _ in range(TIMED):
        start = time.perf_counter()
        float(running.step([next(batches)]).total)  # read, so that the device is done
        times.append(time.perf_counter() - start)
    rates = _rates(running.groups)
    running.finish()
    return StageForecast(
        name=stage.name,
        epochs=stage.epochs,
        may_end_early=stage.until is not None,
        steps=steps_before(stage, stage.epochs, steps),
        rates=rates,
        step_s=median(times) * larger.step,
        bytes=None if peak is None else int(own_bytes(model) + moments + peak[0] * larger.piece),
    )


def _rates(groups: Sequence[ParamGroup]) -> str:
    """The highest rate of each group, those of one rate under the first one's name.

    >>> _rates([ParamGroup("all", [], 1e-3)]), _rates([ParamGroup("new", [], 1e-3), ParamGroup("old", [], 1e-5)])
    ('0.001', 'new 0.001, old 1e-05')
    """
    by_rate: dict[float, str] = {}
    for group in groups:
        by_rate.setdefault(group.lr, group.name.replace(".", " ").removesuffix(" matrices").removesuffix(" vectors"))
    if len(by_rate) == 1:
        return f"{next(iter(by_rate)):.3g}"
    return ", ".join(f"{name} {rate:.3g}" for rate, name in by_rate.items())
