"""How fast a method is at a point, against the dense backbone in the same run, at batch sizes from one to hundreds.

The two are timed interleaved, on the same real images (``interleaved``). A round is one pass over a fixed set of
images, so that every round has the same easy and hard images and rounds are comparable. The result is the realised
speed-up as a share of the theoretical one, which the MACs of those images give.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from dynvit import cost
from dynvit.data.pixels import to_pixels
from dynvit.errors import InputError
from dynvit.finite import check_logits
from dynvit.halving import is_out_of_memory, release
from dynvit.interface import Prediction, Rule
from dynvit.measurements.speed.energy import Meter, energy_of
from dynvit.measurements.speed.interleaved import interleave
from dynvit.measurements.speed.memory import DoesNotFitError, own_bytes, peak_bytes
from dynvit.measurements.speed.settings import SpeedSettings
from dynvit.measurements.speed.timed_model import COMPILED, TORCH_DTYPE, TimedModel
from dynvit.measurements.speed.timer import Timer, wait_for
from dynvit.measurements.speed.timing import MOST, STEADY, WARMUP, Timing, round_images


@dataclass(frozen=True)
class SpeedTest:
    """A method at a point against its backbone, ready to be timed.

    ``timer`` and ``meter`` are the device's. ``tick`` is called with the number of images that ran.

    Shape: ``pixels`` (N, 3, H, W), uint8, repeated from the start where a round needs more than N. Units:
    ``dense_macs`` in MACs per image.
    """

    dense: TimedModel
    method: TimedModel
    pixels: Tensor
    dense_macs: float
    device: torch.device
    timer: Timer
    meter: Meter | None = None
    rule: Rule = "matmul+conv"
    tick: Callable[[int], None] = lambda images: None

    def sizes(self, settings: SpeedSettings, wanted: Callable[[int], bool] = lambda size: True) -> Iterator[Timing]:
        """The timing of each batch size, the smallest first; ``wanted`` says which are not measured yet.

        A size that does not fit in memory is halved until it does, and larger ones are left out, each with a warning. A
        size without a valid round gives a warning and no timing: it can be measured again.

        Raises: ``InputError`` where not even one image fits.
        """
        done: set[int] = set()
        for asked in sorted(set(settings.batches)):
            if not wanted(asked):
                done.add(asked)
                continue
            found = self._fitting(asked, done, settings)
            if found is None:
                break
            done.add(found.batch_size)
            if found.comparison.valid:
                yield found
            else:
                warnings.warn(
                    f"{self.method.who}, batch {found.batch_size}: none of {len(found.comparison.rounds)} rounds was "
                    "valid, the machine is busy; run it again when it is idle",
                    stacklevel=2,
                )
            if found.batch_size < asked:
                break

    def _fitting(self, asked: int, done: set[int], settings: SpeedSettings) -> Timing | None:
        """The timing at ``asked``, or at the first half that fits; None where that one is measured already."""
        size = asked
        while size not in done:
            try:
                return self._measure(asked, size, settings)
            except DoesNotFitError as error:
                who = error.who
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                who = "the images"
            release(self.device)
            if size == 1:
                raise InputError(f"{who} does not fit in memory with one image: take a smaller backbone or image size")
            warnings.warn(
                f"{self.method.who}: batch {size} does not fit in memory ({who}): halved to {size // 2}; larger ones "
                "are left out",
                stacklevel=3,
            )
            size //= 2
        return None

    def _measure(self, asked: int, size: int, settings: SpeedSettings) -> Timing:
        count = round_images(size)
        taken = self.pixels[torch.arange(count) % len(self.pixels)]
        batches = [
            to_pixels(part.to(self.device)).to(TORCH_DTYPE[settings.dtype]) for part in taken.split(size)
        ]  # on the device before the timer starts: loading and decoding are not part of the model
        with torch.inference_mode():
            macs = self._macs(batches)
            dense, method = self.dense, self.method
            if settings.compile:
                torch.compiler.reset()  # its limit of recompilations counts all sizes, and would stop it silently
                dense, method = dense.compiled(batches[0]), method.compiled(batches[0])
            base, other = _Pass(dense, batches, self.timer), _Pass(method, batches, self.timer)
            warm = self._warm_up(base, other)
            other.latencies.clear()
            passes = self._ticking(base, count), self._ticking(other, count)
            comparison = interleave(*passes, rounds=settings.rounds, most=MOST * settings.rounds)
            memory = [self._memory(timed, batches) for timed in (method, dense)]
            energy = [self._energy(timed, batches) for timed in (method, dense)]
        return Timing(
            asked=asked,
            batch_size=size,
            images=count,
            different_images=min(count, len(self.pixels)),
            comparison=comparison,
            latencies=tuple(seconds for index in comparison.valid_indices for seconds in other.latencies[index]),
            mode=method.mode,
            dense_mode=dense.mode,
            macs=macs,
            dense_macs=self.dense_macs,
            warmup_runs=warm,
            peak_bytes=memory[0] and memory[0][0],
            dense_peak_bytes=memory[1] and memory[1][0],
            memory_by=memory[0] and memory[0][1],
            energy_mj=energy[0],
            dense_energy_mj=energy[1],
        )

    def _macs(self, batches: Sequence[Tensor]) -> float:
        """Mean MACs per image of these images, in the type that is timed."""
        spent = []
        for batch in batches:
            prediction = self.method(batch)
            assert isinstance(prediction, Prediction)
            check_logits(prediction.logits, self.method.who)
            spent.append(cost.macs(prediction.usage, self.rule).double().cpu())
        return float(torch.cat(spent).mean())

    def _warm_up(self, base: _Pass, other: _Pass) -> int:
        """Passes of each until neither gets faster; returns how many."""
        least, most = WARMUP
        best, runs = [math.inf, math.inf], 0
        while runs < most:
            now = [self._ticking(one, sum(map(len, one.batches)))() for one in (base, other)]
            runs += 1
            steady = all(time >= STEADY * fastest for time, fastest in zip(now, best, strict=True))
            best = [min(pair) for pair in zip(now, best, strict=True)]
            if steady and runs >= least:
                break
        return runs

    def _ticking(self, one: _Pass, images: int) -> Callable[[], float]:
        def run() -> float:
            seconds = one()
            self.tick(images)
            return seconds

        return run

    def _memory(self, timed: TimedModel, batches: Sequence[Tensor]) -> tuple[int, str] | None:
        """The model's weights, one batch and the pass's peak; None for compiled code on a CPU, which hides them."""
        if self.device.type == "cpu" and timed.mode.endswith(COMPILED):
            return None
        found = peak_bytes(lambda: [timed(batch) for batch in batches], self.device)
        if found is None:
            return None
        return found[0] + own_bytes(timed.module) + batches[0].nbytes, found[1]

    def _energy(self, timed: TimedModel, batches: Sequence[Tensor]) -> float | None:
        """Units: mJ per image."""
        if self.meter is None:
            return None

        def work() -> None:
            for batch in batches:
                timed(batch)

        return energy_of(work, lambda: wait_for(self.device), self.meter) / sum(map(len, batches))


@dataclass(frozen=True)
class _Pass:
    """One model over all batches of a round, each batch timed; keeps the times of every pass."""

    timed: TimedModel
    batches: Sequence[Tensor]
    timer: Timer
    latencies: list[tuple[float, ...]] = field(default_factory=list)

    def __call__(self) -> float:
        times = tuple(self.timer(partial(self.timed, batch)) for batch in self.batches)
        self.latencies.append(times)
        return sum(times)
