"""The training loop: stages in order, on Accelerate, continued to the bit after any kill."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol

import jsonlines
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from torch import Tensor

from dynvit.data.transforms import seeded
from dynvit.errors import InputError
from dynvit.files import atomic
from dynvit.interface import DynamicModel, Recipe, Stage
from dynvit.plugin_faults import plugin_faults
from dynvit.progress import Progress
from dynvit.training import optimization
from dynvit.training.meter import Meter
from dynvit.training.mixing import Mixer
from dynvit.training.position import Position
from dynvit.training.running import RunningStage
from dynvit.training.state import EpochLog, State

CHECK_EVERY = 20  # steps; reading a loss waits for the device
EPOCH_STATE_EVERY = 10.0  # seconds; at an epoch's end a state costs its writing and nothing else


class TrainingDivergedError(InputError):
    """A loss or a weight that is not finite: one line with stage, step and the last good checkpoint."""


class TrainingLoader(Protocol):
    """Batches of this process; what an epoch holds depends on its number alone."""

    batch_size: int

    def __len__(self) -> int:
        """Steps an epoch, the same on each process."""

    def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Images (B, 3, H, W) in [0, 1] and labels (B,), from step ``start`` on."""


@dataclass(frozen=True)
class TrainerSettings:
    """What does not belong to a recipe.

    ``accumulate`` cuts a process's batch in as many pieces, whose gradients are added; ``state`` is the file that a
    killed training continues from, ``log`` the JSON lines, each None for none.

    Units: ``state_every`` seconds at least between two states within an epoch; at its end one is written all the same,
    unless the last is younger than ``EPOCH_STATE_EVERY``.
    """

    classes: int
    seed: int = 0
    accumulate: int = 1
    state: Path | None = None
    state_every: float = 600.0
    log: Path | None = None
    task: str = "training"
    quiet: bool = False


@dataclass(frozen=True)
class TrainingSummary:
    """What came out."""

    history: tuple[EpochLog, ...]

    @property
    def epochs(self) -> int:
        """Epochs that ran over all stages."""
        return len(self.history)

    @property
    def images_seen(self) -> int:
        """Over all stages that look at labels, an image as often as it was seen."""
        return sum(epoch.images for epoch in self.history if epoch.labels)

    @property
    def images_seen_unlabelled(self) -> int:
        """Over all stages that do not."""
        return sum(epoch.images for epoch in self.history if not epoch.labels)

    @property
    def gmacs(self) -> float:
        """Of forward and backward passes. Units: GMACs."""
        return sum(epoch.gmacs for epoch in self.history)

    @property
    def seconds(self) -> float:
        """Of its steps."""
        return sum(epoch.seconds for epoch in self.history)

    @property
    def pieces(self) -> int | None:
        """In how many pieces a batch was cut where memory ran out; None where it never did."""
        return max((epoch.pieces for epoch in self.history if epoch.pieces), default=None)

    @property
    def metrics(self) -> dict[str, float]:
        """Losses and held-out accuracy of the last epoch."""
        if not self.history:
            return {}
        last = self.history[-1]
        accuracy = last.held_out_top1_pct
        return last.losses | ({} if accuracy is None else {"held_out_top1_pct": accuracy})


def steps_before(stage: Stage, epoch: int, steps: int) -> int:
    """Steps of the stage's epochs before this one, where the whole training split has so many.

    Parts of a step go to the epochs in turn, so that ten tenths of a split are the split; no epoch has none.

    >>> from dynvit.interface import Stage
    >>> tenth = Stage("s", epochs=10, groups=lambda _: [], loss=lambda *_: None, share=0.1)
    >>> [steps_before(tenth, epoch, 133) for epoch in (0, 1, 2, 3, 4, 10)]
    [0, 13, 27, 40, 53, 133]
    """
    return round(epoch * max(1.0, stage.share * steps))


Validate = Callable[[DynamicModel], float | None]


@plugin_faults()
def train(
    model: DynamicModel,
    stages: Sequence[Stage],
    recipe: Recipe,
    loader: TrainingLoader,
    settings: TrainerSettings,
    accelerator: Accelerator,
    validate: Validate | None = None,
) -> TrainingSummary:
    """Run ``stages`` on ``model``, which is left trained, in eval mode, on the accelerator's device.

    Everything drawn by chance follows from seed, stage, epoch and rank, so a training that is killed and continued
    from ``settings.state`` gives the very weights of an undisturbed one. Where the recipe averages weights, a stage
    hands the averaged ones on. ``validate`` (in percent) is asked after each epoch, of the averaged model.

    Raises: ``TrainingDivergedError`` for a loss that is not finite; ``InputError`` for a stage that trains nothing.
    """
    if settings.accumulate < 1:
        raise InputError(f"a batch cannot be cut in {settings.accumulate} pieces: give --accumulate 1 or more")
    return _Training(model, stages, recipe, loader, settings, accelerator, validate).run()


class _Training:
    def __init__(
        self,
        model: DynamicModel,
        stages: Sequence[Stage],
        recipe: Recipe,
        loader: TrainingLoader,
        settings: TrainerSettings,
        accelerator: Accelerator,
        validate: Validate | None,
    ) -> None:
        self.model, self.stages, self.recipe, self.loader = model, stages, recipe, loader
        self.settings, self.accelerator, self.validate = settings, accelerator, validate
        self.mixer = Mixer(recipe.augment, settings.classes, loader.batch_size)
        self.history: tuple[EpochLog, ...] = ()
        self.pieces = settings.accumulate
        self.saved = "no checkpoint was written yet"
        self.saved_at = time.monotonic()

    def run(self) -> TrainingSummary:
        state = State.read(self.settings.state) if self.settings.state else None
        if state is not None:
            self.history = state.history
            self.saved = f"the last good checkpoint is {self.settings.state}"
        self._begin_log()
        images = self.loader.batch_size * self.accelerator.num_processes
        first = 0 if state is None else state.stage
        left = sum(self._steps_before(s, s.epochs) for s in self.stages[first:])
        if state is not None:
            left -= self._steps_before(self.stages[first], state.epochs_done)
            left -= state.within.steps if state.within is not None else 0
        quiet = self.settings.quiet or not self.accelerator.is_main_process
        wanted_gradient = {name: p.requires_grad for name, p in self.model.named_parameters()}
        with Progress(self.settings.task, left * images, quiet=quiet) as progress:
            for index, stage in enumerate(self.stages):
                if stage.begin is not None:
                    # Also for stages that are over: what they did to the model's structure must be there again.
                    with seeded(self._seed("begin", index)):
                        stage.begin(self.model)
                if index >= first:
                    self._stage(index, state if index == first else None, progress)
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_(wanted_gradient.get(name, True))
        self.model.eval()
        return TrainingSummary(self.history)

    def _stage(self, index: int, state: State | None, progress: Progress) -> None:
        stage = self.stages[index]
        running = RunningStage(stage, self.model, self.recipe, self.accelerator, state)
        ended = state is not None and state.ended
        for epoch in range(running.epochs_done, stage.epochs):
            if ended:
                break
            within = state.within if state is not None and epoch == state.epochs_done else None
            ended = self._epoch(index, epoch, running, progress, within)
        running.finish()
        if stage.end is not None:
            stage.end(self.model)

    def _epoch(
        self, index: int, epoch: int, running: RunningStage, progress: Progress, within: Position | None
    ) -> bool:
        """One epoch, or the rest of it, with all that follows it; whether the stage is over before its time."""
        stage, steps = running.stage, self._steps(running.stage, epoch)
        number = sum(s.epochs for s in self.stages[:index]) + epoch
        meter = Meter(self.accelerator)
        if within is not None:
            meter.go_on(within.sums, within.counts)
        rates, seconds = self._train(index, epoch, number, running, meter, progress, within)
        self.pieces = running.pieces
        self._check_weights(stage, epoch, steps)
        images_done = steps * self.loader.batch_size * self.accelerator.num_processes
        running.epochs_done = epoch + 1
        self.model.eval()
        ended = bool(stage.until is not None and stage.until(self.model))
        entry = EpochLog(
            stage.name,
            epoch,
            meter.means(),
            rates,
            images_per_s=images_done / seconds,
            held_out_top1_pct=self._validate(running.averaged),
            images=images_done,
            labels=stage.labels,
            gmacs=steps * (running.step_gmacs or 0.0) * self.accelerator.num_processes,
            seconds=seconds,
            pieces=self.pieces if self.pieces > self.settings.accumulate else None,
        )
        self._log(entry, number)
        if time.monotonic() - self.saved_at >= min(self.settings.state_every, EPOCH_STATE_EVERY):
            self._save(index, running, ended)
        return ended

    def _train(
        self,
        index: int,
        epoch: int,
        number: int,
        running: RunningStage,
        meter: Meter,
        progress: Progress,
        within: Position | None,
    ) -> tuple[dict[str, float], float]:
        """The steps of an epoch that are left: the last learning rates, and the seconds of all its steps.

        Args:
            index, epoch: the stage and its epoch.
            number: of the epoch over all stages.
            running, meter, progress: of the stage, the epoch and the training.
            within: where a killed training was; None at the beginning.
        """
        stage, steps, device = running.stage, self._steps(running.stage, epoch), self.accelerator.device
        first, begun = (0, time.monotonic()) if within is None else (within.steps, time.monotonic() - within.seconds)
        seed = ("epoch", index, epoch, self.accelerator.process_index, *(() if within is None else ("step", first)))
        rates: dict[str, float] = {}
        optimization.set_train_mode(self.model, stage)
        with seeded(self._seed(*seed)):
            for step, (images, labels) in enumerate(islice(self.loader.epoch(number, first), steps - first), first):
                if within is not None and step == first:
                    within.restore_random(self.accelerator)
                batch = self.mixer(images.to(device, non_blocking=True), labels.to(device, non_blocking=True))
                rates = running.rate(epoch + step / steps)
                meter.add(running.step_in_memory(batch, self.pieces))
                if (step + 1) % CHECK_EVERY == 0:
                    self._check(meter, stage, epoch, step + 1)
                note = f"stage {stage.name}, epoch {epoch + 1}/{stage.epochs}{meter.note}"
                progress.advance(len(images) * self.accelerator.num_processes, note)
                if step + 1 < steps and self._state_due(step + 1):
                    begun += self._save_within(index, running, meter, step + 1, time.monotonic() - begun)
            # The device is done when its losses are read.
            self._check(meter, stage, epoch, steps)
        return rates, time.monotonic() - begun

    def _steps(self, stage: Stage, epoch: int) -> int:
        return self._steps_before(stage, epoch + 1) - self._steps_before(stage, epoch)

    def _steps_before(self, stage: Stage, epoch: int) -> int:
        return steps_before(stage, epoch, len(self.loader))

    def _check(self, meter: Meter, stage: Stage, epoch: int, step: int) -> None:
        bad = meter.read()
        if bad is not None:
            where = self._steps_before(stage, epoch) + step - bad
            raise TrainingDivergedError(
                f"the loss of stage {stage.name!r} is not finite at step {where} (epoch {epoch + 1}): {self.saved}; "
                "train with a lower --lr, or without --mixed-precision"
            )

    def _check_weights(self, stage: Stage, epoch: int, step: int) -> None:
        trained = [p.detach() for p in self.model.parameters() if p.requires_grad]
        if not math.isfinite(float(torch.stack(torch._foreach_norm(trained)).sum())):
            raise TrainingDivergedError(
                f"a weight of stage {stage.name!r} is not finite at step {self._steps_before(stage, epoch) + step} "
                f"(epoch {epoch + 1}): {self.saved}; train with a lower --lr, or without --mixed-precision"
            )

    def _validate(self, model: DynamicModel) -> float | None:
        if self.validate is None or not self.accelerator.is_main_process:
            return None
        with torch.no_grad():
            return self.validate(model.eval())

    def _state_due(self, step: int) -> bool:
        """Whether a state is to be written after this step: the same on each process, by the first one's clock."""
        if self.settings.state is None:
            return False
        due = time.monotonic() - self.saved_at >= self.settings.state_every
        if self.accelerator.num_processes == 1:
            return due
        return step % CHECK_EVERY == 0 and bool(broadcast_object_list([due])[0])

    def _save_within(self, index: int, running: RunningStage, meter: Meter, step: int, seconds: float) -> float:
        """A state after ``step`` steps of an epoch; the seconds that it took, which are none of the training's."""
        began = time.monotonic()
        self._check(meter, running.stage, running.epochs_done, step)
        self._check_weights(running.stage, running.epochs_done, step)
        self._save(index, running, False, Position.reached(step, seconds, meter, self.accelerator))
        return time.monotonic() - began

    def _save(self, index: int, running: RunningStage, ended: bool, within: Position | None = None) -> None:
        self.saved_at = time.monotonic()
        if self.settings.state is None:
            return
        steps = "" if within is None else f" and {within.steps} steps"
        if self.accelerator.is_main_process:
            running.state(index, ended, self.history, within).write(self.settings.state)
        self.saved = f"the last good checkpoint is {self.settings.state}, {len(self.history)} epochs{steps} in"

    def _begin_log(self) -> None:
        """The log as far as the state knows it: epochs that a kill undid are run, and written, again."""
        if self.settings.log is None or not self.accelerator.is_main_process:
            return
        with atomic(self.settings.log) as temporary, jsonlines.open(temporary, "w") as lines:
            lines.write_all(entry.line for entry in self.history)

    def _log(self, entry: EpochLog, number: int) -> None:
        self.history += (entry,)
        if not self.accelerator.is_main_process:
            return
        if self.settings.log is not None:
            with jsonlines.open(self.settings.log, "a") as lines:
                lines.write(entry.line)
        values = {f"{kind}/{name}": v for kind in ("losses", "lr") for name, v in getattr(entry, kind).items()}
        values["images_per_s"] = entry.images_per_s
        if entry.held_out_top1_pct is not None:
            values["held_out_top1_pct"] = entry.held_out_top1_pct
        self.accelerator.log(values, step=number)

    def _seed(self, *parts: str | int) -> int:
        digest = hashlib.sha256("/".join(map(str, (self.settings.seed, *parts))).encode()).digest()
        return int.from_bytes(digest[:7], "big")
