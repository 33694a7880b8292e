"""Optuna over a method's knobs: a search for the front.

The study is never stored. It is asked and told again from the records that exist, trial by trial; a seeded
sampler then proposes what it proposed before, so a killed sweep goes on where it was and repeats no measurement.
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


def search(
    knobs: Mapping[str, BaseDistribution],
    sampler: Literal["nsga2", "tpe"],
    trials: int,
    seed: int,
    measure: Callable[[OperatingPoint], Objectives],
    *,
    objectives: int = 2,
    begun: int | None = None,
    first: Sequence[OperatingPoint] = (),
) -> list[OperatingPoint]:
    """Let a sampler propose ``trials`` points, and return the non-dominated ones, the cheapest first.

    Of three ``objectives`` the last is maximised, and ``measure`` gives it. ``begun`` is the number of trials that the
    search was begun with, where it is continued with more: the sampler is made for that many, so that it proposes what
    it proposed, and goes on. The trials begin with the points ``first``.
    ``measure`` looks at the calibration split: what is chosen here is measured elsewhere.
    """
    planned = trials if begun is None else begun
    # A generation of a quarter of the trials leaves NSGA-II room to evolve; Optuna's default of 50 would be
    # one random generation in most sweeps.
    chosen: optuna.samplers.BaseSampler = (
        optuna.samplers.NSGAIISampler(seed=seed, population_size=max(4, planned // 4))
        if sampler == "nsga2"
        else optuna.samplers.TPESampler(seed=seed, n_startup_trials=max(4, planned // 4))
    )
    study = _study(chosen, objectives)
    for point in first:
        study.enqueue_trial(dict(point))
    for _ in range(trials):
        _trial(study, knobs, measure)
    best = {OperatingPoint(**trial.params): trial.values[1] for trial in study.best_trials}
    return sorted(best, key=best.__getitem__)


def draw(knobs: Mapping[str, BaseDistribution], seed: int, count: int) -> list[OperatingPoint]:
    """``count`` points drawn at random. A method without knobs has the same one each time."""
    study = _study(optuna.samplers.RandomSampler(seed=seed))
    return [OperatingPoint(**study.ask(dict(knobs)).params) for _ in range(count)]


def _study(sampler: optuna.samplers.BaseSampler, objectives: int = 2) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    directions: list[Literal["maximize", "minimize"]] = ["maximize", "minimize"]
    if objectives > 2:
        directions.append("maximize")
    return optuna.create_study(sampler=sampler, directions=directions)


def _trial(
    study: optuna.Study,
    knobs: Mapping[str, BaseDistribution],
    measure: Callable[[OperatingPoint], Objectives],
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        trial = study.ask(dict(knobs))
    worth = measure(OperatingPoint(**trial.params))
    study.tell(trial, worth.values)
