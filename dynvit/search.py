"""Optuna over a method's knobs: a search for the front.

The study that proposes is never stored. It is asked and told again from the records that exist, batch by batch; a
seeded sampler then proposes what it proposed before, so a killed sweep goes on where it was and repeats no measurement.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning

from dynvit.interface import OperatingPoint

SamplerName = Literal["nsga2", "tpe"]


@dataclass(frozen=True)
class Objectives:
    """What a point is worth; ``third`` is what a measurement maximises besides, None in all trials where none does.

    Units: ``top1_pct`` percent, ``gmacs`` mean GMACs per image.
    """

    top1_pct: float
    gmacs: float
    third: float | None = None

    @property
    def values(self) -> list[float]:
        """What the study is told."""
        return [self.top1_pct, self.gmacs, *(() if self.third is None else (self.third,))]


@dataclass(frozen=True)
class Sampling:
    """All that decides what a search proposes, but for what it is told.

    ``begun`` is the number of trials that the search was begun with, where it is continued with more: the sampler is
    made for that many, so that it proposes what it proposed, and goes on. ``batch`` trials are asked for before any of
    them is told. Of three ``objectives`` the last is maximised.
    """

    sampler: SamplerName
    trials: int
    seed: int
    batch: int = 1
    begun: int | None = None
    objectives: int = 2

    @property
    def drawn(self) -> int:
        """Trials that are drawn at random before the others: NSGA-II's generation, TPE's start.

        A quarter of the trials leaves NSGA-II room to evolve; Optuna's default of 50 would be one random generation in
        most sweeps.
        """
        return max(4, (self.trials if self.begun is None else self.begun) // 4)

    def batches(self) -> list[range]:
        """The numbers of the trials that are asked for together.

        A batch ends where a generation of NSGA-II ends, whose proposals depend on the one before and not on each other:
        so it proposes the same in batches of any size. TPE's ends where it has drawn enough, and then its proposals
        depend on the batch: it keeps away from what is being measured ("constant liar").
        """
        found, start = [], 0
        while start < self.trials:
            last = self.sampler == "tpe" and start >= self.drawn
            edge = self.trials if last else (start // self.drawn + 1) * self.drawn
            stop = min(start + self.batch, edge, self.trials)
            found.append(range(start, stop))
            start = stop
        return found

    def study(self) -> optuna.Study:
        """A new one, in memory."""
        chosen: optuna.samplers.BaseSampler = (
            optuna.samplers.NSGAIISampler(seed=self.seed, population_size=self.drawn)
            if self.sampler == "nsga2"
            else optuna.samplers.TPESampler(seed=self.seed, n_startup_trials=self.drawn, constant_liar=True)
        )
        return _study(chosen, self.objectives)


class Search:
    """A search that is asked for points, and told what they are worth, in the order in which they were asked for.

    ``first`` are points that it begins with. ``kept`` are those of its first trials, where another process has asked
    for them: a sampler's arithmetic may differ in a last digit elsewhere, and what was measured must not be again.
    """

    def __init__(
        self,
        knobs: Mapping[str, BaseDistribution],
        sampling: Sampling,
        *,
        first: Sequence[OperatingPoint] = (),
        kept: Sequence[OperatingPoint] = (),
    ) -> None:
        self.knobs = knobs
        self.sampling = sampling
        self.asked: list[OperatingPoint] = []
        self.told: list[Objectives] = []
        self._kept = kept
        self._study = sampling.study()
        self._batches = iter(sampling.batches())
        for point in first:
            self._study.enqueue_trial(dict(point))

    def ask(self) -> list[OperatingPoint]:
        """The points of the next batch, none where there is no other. Whatever was asked for before must be told."""
        numbers = next(self._batches, range(0))
        for number in numbers:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ExperimentalWarning)
                trial = self._study.ask(dict(self.knobs))
            kept = number < len(self._kept)
            self.asked.append(self._kept[number] if kept else OperatingPoint(**trial.params))
        return self.asked[numbers.start : numbers.stop]

    def tell(self, worths: Sequence[Objectives]) -> None:
        """What the points of the last batch are worth."""
        for worth in worths:
            self._study.tell(len(self.told), worth.values)
            self.told.append(worth)

    def best(self) -> list[OperatingPoint]:
        """The points that no other dominates, the cheapest first."""
        best = {self.asked[trial.number]: trial.values[1] for trial in self._study.best_trials}
        return sorted(best, key=best.__getitem__)


def search(
    knobs: Mapping[str, BaseDistribution],
    sampling: Sampling,
    measure: Callable[[OperatingPoint], Objectives],
    *,
    first: Sequence[OperatingPoint] = (),
) -> list[OperatingPoint]:
    """Let a sampler propose points, measure one after another, and return the non-dominated ones, the cheapest first.

    ``measure`` looks at the calibration split: what is chosen here is measured elsewhere. The trials begin with the
    points ``first``.
    """
    found = Search(knobs, sampling, first=first)
    while points := found.ask():
        found.tell([measure(point) for point in points])
    return found.best()


def draw(knobs: Mapping[str, BaseDistribution], seed: int, count: int) -> list[OperatingPoint]:
    """``count`` points drawn at random. A method without knobs has the same one each time."""
    study = _study(optuna.samplers.RandomSampler(seed=seed))
    return [OperatingPoint(**study.ask(dict(knobs)).params) for _ in range(count)]


def _study(sampler: optuna.samplers.BaseSampler, objectives: int = 2) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    directions = directions_of(objectives)
    return optuna.create_study(sampler=sampler, directions=directions)


def directions_of(objectives: int) -> list[Literal["maximize", "minimize"]]:
    """Which way each objective is better."""
    return ["maximize", "minimize", *(["maximize"] if objectives > 2 else [])]  # type: ignore[list-item]
