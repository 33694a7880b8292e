"""One stage while it runs: its optimiser, its averaged weights, its step."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from dynvit.halving import is_out_of_memory, release
from dynvit.interface import Batch, DynamicModel, Losses, Recipe, Stage
from dynvit.training import optimization
from dynvit.training.averaging import WeightAverage
from dynvit.training.mixing import split
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
        self.pieces = 1
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
        """
        self.pieces = max(pieces, self.pieces)
        random = torch.get_rng_state()
        while True:
            try:
                return self.step(split(batch, min(self.pieces, len(batch.images))))
            except Exception as error:
                if self.pieces >= len(batch.images) or not is_out_of_memory(error):
                    raise
                self.pieces *= 2
            self.optimizer.zero_grad()
            release(self.accelerator.device)
            torch.set_rng_state(random)

    def step(self, pieces: Sequence[Batch]) -> Losses:
        """One optimiser step; the mean losses of this process, without their graph.

        What the first one executes in forward and backward passes is kept in ``step_gmacs``.
        """
        if self.step_gmacs is not None:
            return self._step(pieces)
        with FlopCounterMode(display=False) as counter:
            losses = self._step(pieces)
        self.step_gmacs = counter.get_total_flops() / 2 / GIGA
        return losses

    def _step(self, pieces: Sequence[Batch]) -> Losses:
        self.optimizer.zero_grad()
        whole = sum(len(piece.images) for piece in pieces)
        total: Tensor = torch.zeros((), device=self.accelerator.device)
        parts: dict[str, Tensor] = {}
        for piece in pieces:
            share = len(piece.images) / whole
            with self.accelerator.autocast(), self._attention_kernel():
                losses = self.stage.loss(self.model, piece)
            # A gate may leave all that this stage trains out of a batch.
            if losses.total.requires_grad:
                self.accelerator.backward(losses.total * share)
            total = total + losses.total.detach().float() * share
            for name, value in losses.parts.items():
                parts[name] = parts.get(name, 0) + value.detach().float() * share
        optimization.average_gradients(self.accelerator, self.groups)
        if any(p.grad is not None for group in self.groups for p in group.parameters):
            optimization.clip(self.accelerator, self.plain_optimizer, self.recipe.clip_grad)
            self.optimizer.step()
        if self.average is not None:
            self.average.update(self.model, self.steps_done)
        self.steps_done += 1
        return Losses(total, parts)

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
        )

    def finish(self) -> None:
        """Hand on the averaged weights, and let go of the optimiser."""
        if self.average is not None:
            self.average.copy_to(self.model)
        self.accelerator.free_memory()
