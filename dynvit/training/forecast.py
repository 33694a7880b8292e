"""What a training will do and take: its recipe, stages and steps, with time and memory from a few steps of its own."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from statistics import median

from accelerate import Accelerator

from dynvit.backbones.build import build
from dynvit.backbones.dense import dense_macs
from dynvit.data.opening import drawn
from dynvit.data.training import TrainingBatches
from dynvit.data.transforms import seeded
from dynvit.interface import Batch, ParamGroup, Stage
from dynvit.measurements.speed.memory import own_bytes, peak_bytes
from dynvit.recipes import ChosenRecipe
from dynvit.training import optimization
from dynvit.training.accelerator import accelerator_for
from dynvit.training.mixing import Mixer
from dynvit.training.prepared import Prepared, check_batch, prepare
from dynvit.training.request import RunSettings, TrainRequest
from dynvit.training.run import loader_of
from dynvit.training.running import RunningStage
from dynvit.training.trainer import steps_of
from dynvit.units import GIGA

TIMED = 3
"""Steps of each stage that are timed, after one that shows its memory."""
WORK = 10 * GIGA
"""The dense cost of the images of a timed step on a CPU, a second or so; larger steps are told from it. Units: MACs."""


@dataclass(frozen=True)
class StageForecast:
    """A stage before it runs. Units: ``step_s`` seconds, with the loading of its images; ``bytes`` at its peak."""

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
        return self.epochs * self.steps * self.step_s


@dataclass(frozen=True)
class Forecast:
    """A training before it runs. Units: ``decoding_s`` seconds that pass once, before the first step."""

    request: TrainRequest
    prepared: Prepared
    chosen: ChosenRecipe
    accumulate: int
    steps: int
    timed_images: int
    device: str
    decoding_s: float
    stages: Sequence[StageForecast]

    def lines(self) -> Iterator[str]:
        """For people."""
        prepared, chosen = self.prepared, self.chosen
        target = "" if self.request.target is None else f" for {self.request.target:g} of dense"
        yield f"train {self.request.method}{target} on {prepared.spec.name}: {prepared.backbone.name}"
        yield f"  recipe {chosen.name}: {chosen.why}"
        for said in (chosen.caution, prepared.changed):
            if said:
                yield f"  note: {said}"
        recipe, pieces = prepared.recipe, f" in {self.accumulate} pieces" if self.accumulate > 1 else ""
        yield f"  {len(prepared.source):,} images of {prepared.source.split}, {len(prepared.held_out):,} held out"
        yield f"  batch {recipe.batch_size:,}{pieces}, {self.steps:,} {'step' if self.steps == 1 else 'steps'} an epoch"
        for stage in self.stages:
            most = "at most " if stage.may_end_early else ""
            yield (
                f"  stage {stage.name}: {most}{stage.epochs} x {stage.steps:,} steps of {stage.step_s:.3g} s; "
                f"lr {stage.rates}"
            )
        seconds = self.decoding_s + sum(stage.seconds for stage in self.stages)
        peaks = [stage.bytes for stage in self.stages if stage.bytes is not None]
        memory = f", {max(peaks) / 2**20:,.0f} MiB" if peaks else ""
        tried = f"{TIMED} steps of {self.timed_images} images"
        yield f"  expected: {_duration(seconds)}{memory} on {self.device}, from {tried}"


def forecast(request: TrainRequest, settings: RunSettings) -> Forecast:
    """Prepare the training and run a few steps of each stage; nothing is written.

    Raises: ``InputError`` as the training itself would.
    """
    accelerator = accelerator_for(Path(), request, settings)
    prepared = prepare(request, settings)
    recipe, world = prepared.recipe, accelerator.num_processes
    check_batch(prepared)
    piece = math.ceil(recipe.batch_size / world / settings.accumulate)
    timed = _affordable(piece, prepared, accelerator)
    small = replace(prepared, recipe=replace(recipe, batch_size=timed * world))
    few = drawn(prepared.source, (TIMED + 1) * timed * world, request.data_seed)
    start = time.perf_counter()
    loader = loader_of(replace(small, source=few), request, settings, accelerator)
    decoding_s = (time.perf_counter() - start) * len(prepared.source) / len(few) if loader.decoded else 0.0
    steps = len(prepared.source) * recipe.augment.repeats // recipe.batch_size
    mixer = Mixer(recipe.augment, prepared.spec.num_classes, loader.batch_size)
    larger = _Larger(recipe.batch_size / world / timed, piece / timed)
    with seeded(request.seed):
        batches = _batches(loader, mixer, accelerator)
        stages = [_measured(stage, prepared, batches, accelerator, steps, larger) for stage in prepared.stages]
    device = str(accelerator.device)
    return Forecast(request, prepared, prepared.chosen, settings.accumulate, steps, timed, device, decoding_s, stages)


def _affordable(piece: int, prepared: Prepared, accelerator: Accelerator) -> int:
    """Images of a step that is tried: the whole piece, but on a CPU no more than a few seconds take; even."""
    if accelerator.device.type != "cpu":
        return piece
    images = int(WORK / dense_macs(build(replace(prepared.backbone, weights=None))))
    return min(piece, max(2, images // 2 * 2))


@dataclass(frozen=True)
class _Larger:
    """How many times larger a step, and a piece of it, are than what is tried."""

    step: float
    piece: float


def _batches(loader: TrainingBatches, mixer: Mixer, accelerator: Accelerator) -> Iterator[Batch]:
    for epoch in count():
        for images, labels in loader.epoch(epoch):
            yield mixer(images.to(accelerator.device), labels.to(accelerator.device))


def _measured(
    stage: Stage, prepared: Prepared, batches: Iterator[Batch], accelerator: Accelerator, steps: int, larger: _Larger
) -> StageForecast:
    """A stage by a few of its steps, on the model as the stages before it left it.

    Args:
        stage: of the training.
        prepared: the training; its model is trained a little.
        batches: without end.
        accelerator: what it runs on.
        steps: of the whole training split.
        larger: time and activations grow with the number of images; gradients and moments do not.
    """
    model = prepared.model
    if stage.begin is not None:
        stage.begin(model)
    running = RunningStage(stage, model, prepared.recipe, accelerator, None)
    optimization.set_train_mode(model, stage)
    running.rate(0.0)
    first = next(batches)
    peak = peak_bytes(lambda: running.step([first]), accelerator.device)
    fixed = 3 * sum(p.numel() * p.element_size() for group in running.groups for p in group.parameters)
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
        steps=steps_of(stage, steps),
        rates=rates,
        step_s=median(times) * larger.step,
        bytes=None if peak is None else int(own_bytes(model) + fixed + max(0, peak[0] - fixed) * larger.piece),
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


def _duration(seconds: float) -> str:
    """Rounded up, for people.

    >>> _duration(4.2), _duration(250), _duration(90_000)
    ('5 s', '5 min', '25 h')
    """
    for least, unit, name in ((7200, 3600, "h"), (120, 60, "min"), (0, 1, "s")):
        if seconds >= least:
            return f"{math.ceil(seconds / unit):,} {name}"
    return "0 s"
