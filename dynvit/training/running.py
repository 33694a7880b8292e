"""One stage while it runs: its optimiser, its averaged weights, its step."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from dynvit.errors import InputError
from dynvit.halving import is_out_of_memory, release
from dynvit.interface import Batch, DynamicModel, Losses, Recipe, Stage
from dynvit.training import optimization
from dynvit.training.averaging import WeightAverage
from dynvit.training.mixing import split
from dynvit.training.parallel import ParallelLoss
from dynvit.training.position import Position
from dynvit.training.state import EpochLog, State
from dynvit.units import GIGA


class RunningStage:
    """A stage with its optimiser and averaged weights, fresh or as a state left them."""

    def __init__(
        self, stage: Stage, model: DynamicModel, recipe: Recipe, accelerator: Accelerator, state: State | None
    ) -> None:
        self.stage, self.model, self.recipe, self.accelerator = stage, model, recipe, accelerator
        self.epochs_done = self.steps_done = 0
        self.step_gmacs: float | None = None
        self.pieces = self.halved_into = 1 if state is None else state.pieces
        if state is not None:
            model.load_state_dict(state.model)
            for module, tensors in zip(stage.frozen, state.frozen, strict=False):
                module.load_state_dict(tensors)
        self.groups = optimization.prepare(model, stage, accelerator.device)
        self.plain_optimizer = optimization.make_optimizer(stage, self.groups)
        self.average = WeightAverage(model, recipe.ema_decay) if recipe.ema_decay > 0 else None
        if state is not None:
            self.epochs_done, self.steps_done = state.epochs_done, state.steps_done
            self.step_gmacs = state.step_gmacs
            self.plain_optimizer.load_state_dict(state.optimizer)
            if self.average is not None and state.average is not None:
                self.average.module.load_state_dict(state.average)
            if accelerator.scaler is not None and state.scaler is not None:
                accelerator.scaler.load_state_dict(state.scaler)
        self.optimizer = accelerator.prepare_optimizer(self.plain_optimizer)
        self._parallel: ParallelLoss | None = None

    @property
    def averaged(self) -> DynamicModel:
        """The model to evaluate."""
        return self.model if self.average is None else self.average.module

    def rate(self, epoch: float) -> dict[str, float]:
        """Set the learning rates for a fraction of an epoch; the rates by group."""
        return optimization.set_rates(self.plain_optimizer, self.groups, epoch, self.stage.epochs)

    def step_in_memory(self, batch: Batch, pieces: int) -> Losses:
        """``step`` on a batch in so many ``pieces``, or, where memory runs out, in twice as many: from then on.

        The random states are those of the first try: so are dropout's draws, as far as pieces leave them the same.

        Raises: ``InputError`` where memory runs out in one of several processes after the stage's first step: the
        others are in the middle of a step that it cannot begin again.
        """
        self.pieces = max(pieces, self.pieces)
        random = torch.get_rng_state()
        while True:
            try:
                return self.step(split(batch, min(self.pieces, len(batch.images))))
            except Exception as error:
                if self.pieces >= len(batch.images) or not is_out_of_memory(error):
                    raise
                if self._parallel is not None:
                    raise InputError(
                        f"memory ran out in a step of {self.accelerator.num_processes} processes: go on with "
                        f"--resume --accumulate {2 * self.pieces}"
                    ) from error
                self.pieces = self.halved_into = 2 * self.pieces
            self.optimizer.zero_grad()
            release(self.accelerator.device)
            torch.set_rng_state(random)

    def step(self, pieces: Sequence[Batch]) -> Losses:
        """One optimiser step; the mean losses of this process, without their graph.

        What the first one executes in forward and backward passes is kept in ``step_gmacs``.
        """
        if self.step_gmacs is not None:
            self._average_during_backward()
            return self._step(pieces)
        with FlopCounterMode(display=False) as counter:
            losses = self._step(pieces)
        self.step_gmacs = counter.get_total_flops() / 2 / GIGA
        return losses

    def _average_during_backward(self) -> None:
        """From the second step on, where there are several processes.

        The first shows how many pieces fit in memory, for which each process must be free to begin it again.
        """
        if self._parallel is None and self.accelerator.num_processes > 1:
            trained = [parameter for group in self.groups for parameter in group.parameters]
            self._parallel = ParallelLoss(partial(self.stage.loss, self.model), trained, self.accelerator.device)

    def _step(self, pieces: Sequence[Batch]) -> Losses:
        self.optimizer.zero_grad()
        whole = sum(len(piece.images) for piece in pieces)
        total: Tensor = torch.zeros((), device=self.accelerator.device)
        parts: dict[str, Tensor] = {}
        for number, piece in enumerate(pieces, 1):
            share = len(piece.images) / whole
            losses = self._losses(piece, last=number == len(pieces))
            # A gate may leave all that this stage trains out of a batch.
            if losses.total.requires_grad:
                self.accelerator.backward(losses.total * share)
            total = total + losses.total.detach().float() * share
            for name, value in losses.parts.items():
                parts[name] = parts.get(name, 0) + value.detach().float() * share
        if self._parallel is None:
            optimization.average_gradients(self.accelerator, self.groups)
        if any(p.grad is not None for group in self.groups for p in group.parameters):
            optimization.clip(self.accelerator, self.plain_optimizer, self.recipe.clip_grad)
            self.optimizer.step()
        if self.average is not None:
            self.average.update(self.model, self.steps_done)
        self.steps_done += 1
        return Losses(total, parts)

    def _losses(self, piece: Batch, last: bool) -> Losses:
        with self.accelerator.autocast(), self._attention_kernel():
            if self._parallel is None:
                return self.stage.loss(self.model, piece)
            return self._parallel(piece, averages=last)

    def _attention_kernel(self) -> AbstractContextManager[None]:
        if self.accelerator.device.type == "cpu" and self.accelerator.mixed_precision == "bf16":
            # The fused kernel's backward takes four times as long there as the plain products, at 17 tokens.
            return sdpa_kernel(SDPBackend.MATH)
        return nullcontext()

    def state(self, index: int, ended: bool, history: tuple[EpochLog, ...], within: Position | None = None) -> State:
        """What a later process needs to go on from here: ``within`` an epoch, or at its end."""
        scaler = self.accelerator.scaler
        return State(
            stage=index,
            epochs_done=self.epochs_done,
            steps_done=self.steps_done,
            ended=ended,
            model=dict(self.model.state_dict()),
            optimizer=self.plain_optimizer.state_dict(),
            average=None if self.average is None else dict(self.average.module.state_dict()),
            scaler=None if scaler is None else scaler.state_dict(),
            frozen=[dict(m.state_dict()) for m in self.stage.frozen] if self.stage.begin is not None else [],
            history=history,
            step_gmacs=self.step_gmacs,
            within=within,
            pieces=self.halved_into,
        )

    def finish(self) -> None:
        """Hand on the averaged weights, and let go of the optimiser."""
        if self.average is not None:
            self.average.copy_to(self.model)
        self.accelerator.free_memory()
