"""What a training will do and take: its recipe, stages and steps, with time and memory from a few steps of its own."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from accelerate import Accelerator

from dynvit.backbones.build import build
from dynvit.backbones.dense import dense_macs
from dynvit.data.opening import drawn
from dynvit.data.transforms import seeded
from dynvit.recipes import ChosenRecipe
from dynvit.training.accelerator import accelerator_for
from dynvit.training.batches import loader_of
from dynvit.training.mixing import Mixer
from dynvit.training.prepared import Prepared, check_batch, prepare
from dynvit.training.request import RunSettings, TrainRequest
from dynvit.training.trial import TIMED, Larger, StageForecast, batches_of, tried
from dynvit.units import GIGA

WORK = 10 * GIGA
"""The dense cost of the images of a timed step on a CPU, a second or so; larger steps are told from it. Units: MACs."""


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

    @property
    def seconds(self) -> float:
        """Of the whole training, if no stage ends early."""
        return self.decoding_s + sum(stage.seconds for stage in self.stages)

    def lines(self) -> Iterator[str]:
        """For people."""
        prepared, chosen = self.prepared, self.chosen
        target = "" if self.request.target is None else f" for {self.request.target:g} of dense"
        further = "" if self.request.division is None else " further"
        yield f"train {self.request.method}{further}{target} on {prepared.spec.name}: {prepared.backbone.name}"
        yield f"  recipe {chosen.name}: {chosen.why}"
        for said in (chosen.caution, prepared.changed):
            if said:
                yield f"  note: {said}"
        recipe, pieces = prepared.recipe, f" in {self.accumulate} pieces" if self.accumulate > 1 else ""
        yield f"  {len(prepared.source):,} images of {prepared.source.split}, {len(prepared.held_out):,} held out"
        yield f"  batch {recipe.batch_size:,}{pieces}, {self.steps:,} {'step' if self.steps == 1 else 'steps'} an epoch"
        for stage in self.stages:
            most = "at most " if stage.may_end_early else ""
            epochs = "1 epoch" if stage.epochs == 1 else f"{stage.epochs} epochs"
            yield f"  stage {stage.name}: {most}{epochs}, {stage.steps:,} steps of {stage.step_s:.3g} s"
            yield f"    lr {stage.rates}"
        peaks = [stage.bytes for stage in self.stages if stage.bytes is not None]
        memory = f", {max(peaks) / 2**20:,.0f} MiB" if peaks else ""
        tried = f"{TIMED} steps of {self.timed_images} images"
        yield f"  expected: {_duration(self.seconds)}{memory} on {self.device}, from {tried}"


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
    larger = Larger(recipe.batch_size / world / timed, piece / timed)
    with seeded(request.seed):
        batches = batches_of(loader, mixer, accelerator)
        stages = [tried(stage, prepared, batches, accelerator, steps, larger) for stage in prepared.stages]
    device = str(accelerator.device)
    return Forecast(request, prepared, prepared.chosen, settings.accumulate, steps, timed, device, decoding_s, stages)


def _affordable(piece: int, prepared: Prepared, accelerator: Accelerator) -> int:
    """Images of a step that is tried: a whole piece, but on a CPU no more than a second or so takes; even, as mixup
    pairs them.
    """
    images = piece
    if accelerator.device.type == "cpu":
        images = min(piece, int(WORK / dense_macs(build(replace(prepared.backbone, weights=None)))))
    return max(2, images // 2 * 2) if piece > 1 else piece


def _duration(seconds: float) -> str:
    """Rounded up, for people.

    >>> _duration(4.2), _duration(250), _duration(90_000)
    ('5 s', '5 min', '25 h')
    """
    for least, unit, name in ((7200, 3600, "h"), (120, 60, "min"), (0, 1, "s")):
        if seconds >= least:
            return f"{math.ceil(seconds / unit):,} {name}"
    return "0 s"
