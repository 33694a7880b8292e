"""The searches of a bench: what decides their proposals, those that are kept, and their studies in a storage."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from optuna.distributions import BaseDistribution

from dynvit.benchmark.config import BenchConfig
from dynvit.benchmark.folder import TRIALS
from dynvit.benchmark.identity import identity, trials_begun
from dynvit.benchmark.prepare import Preparation
from dynvit.benchmark.trained import trained
from dynvit.errors import InputError
from dynvit.files import write_whole
from dynvit.interface import OperatingPoint
from dynvit.measurements.base import Measurement
from dynvit.reading import read_json
from dynvit.search import Sampling
from dynvit.session import Session
from dynvit.settings import changed_flags
from dynvit.study_storage import StudyCopy, StudyStorage, check_storage

FOLDER = "search"
"""Where proposals are kept that several processes measure, in the bench's folder."""
_HASHED = 12
_OF_SEARCHES = ("trials", "search_batch", "storage")
_OF_BUDGETS = ("budgets", "solve")  # points: a suite has them for whoever solves


@dataclass(frozen=True)
class Searches:
    """One search for each model that has knobs. ``folder`` is the bench's."""

    config: BenchConfig
    session: Session
    preparation: Preparation
    folder: Path
    measurements: Sequence[Measurement[Any, Any, Any]]

    def check(self) -> None:
        """Check options of a search where budgets are solved, of budgets where a search is asked for, and the storage.

        Raises: ``InputError`` for the first that is wrong.
        """
        config = self.config
        idle = _OF_SEARCHES if config.sampler == "budgets" else _OF_BUDGETS
        stray = changed_flags(config, idle)
        if stray:
            where = "a search: add --sampler nsga2 or tpe" if idle is _OF_SEARCHES else "budgets: leave out --sampler"
            raise InputError(f"{stray[0]} belongs to {where}, or leave it out")
        if config.storage is not None:
            check_storage(config.storage)

    @property
    def third(self) -> Measurement[Any, Any, Any] | None:
        """The measurement that gives a third objective, where there is one."""
        return next((one for one in self.measurements if one.searchable), None)

    @property
    def sampling(self) -> Sampling:
        """The same for every model. Raises: ``ValueError`` where the bench solves budgets."""
        config = self.config
        if config.sampler == "budgets":
            raise ValueError("a bench that solves budgets searches nothing")
        begun, objectives = trials_begun(self.folder, config), 2 if self.third is None else 3
        return Sampling(config.sampler, config.trials, config.seed, config.search_batch, begun, objectives)

    @cached_property
    def knobs(self) -> Mapping[str, Mapping[str, BaseDistribution]]:
        """The knobs of the models that are searched, by label."""
        if self.config.sampler == "budgets":
            return {}
        found = {one.label: self.session.knobs(one.wanted) for one in self.preparation.planned}
        return {label: knobs for label, knobs in found.items() if knobs}

    def kept(self, label: str) -> list[OperatingPoint]:
        """The proposals that are kept of a model's search, by trial. Raises: ``InputError`` for a file without any."""
        file = self._file(label)
        if not file.is_file():
            return []
        there = read_json(file)
        points = there.get("points") if isinstance(there, dict) else None
        if not isinstance(points, list) or not all(isinstance(one, dict) for one in points):
            raise InputError(f"{file} holds no proposals: take it away, and they are asked for again")
        return [OperatingPoint(**one) for one in points] if there.get("made") == self._made() else []

    def keep(self, label: str, points: Sequence[OperatingPoint]) -> None:
        """Keep the proposals of a model's search."""
        body = {"made": self._made(), "points": [dict(point) for point in points]}
        write_whole(self._file(label), (json.dumps(body, indent=1) + "\n").encode())

    def copies(self) -> Mapping[str, StudyCopy]:
        """A study for each search in the storage that is asked for; none where none is.

        Raises: ``InputError`` where the storage cannot be written.
        """
        if self.config.storage is None or not self.knobs:
            return {}
        storage = StudyStorage.open(self.config.storage)
        metrics = ["top1_pct", "gmacs", *([] if self.third is None else [self.third.name])]
        return {label: storage.study(self.study_name(label), knobs, metrics) for label, knobs in self.knobs.items()}

    def study_name(self, label: str) -> str:
        """What the study of a model's search is called: the same for the same search, wherever its folder lies."""
        session = self.session
        body = json.dumps([label, *self._proposed_by()], sort_keys=True, default=str)
        return f"{session.dataset.name}-{session.backbone.name}-{label}-{_hash(body)[:_HASHED]}"

    @cached_property
    def _configured(self) -> dict[str, Any]:
        """The bench's identity, but for the number of trials; weights are hashed for it, once."""
        found = identity(self.config, self.session)
        del found[TRIALS]
        return found

    def _proposed_by(self) -> tuple[dict[str, Any], int]:
        """All that the proposals of a search depend on, but for its model's training: not on how many they are."""
        return self._configured, self.sampling.begun or self.config.trials

    def _made(self) -> str:
        body = [*self._proposed_by(), trained(self.folder, self.preparation)]
        return _hash(json.dumps(body, sort_keys=True, default=str))

    def _file(self, label: str) -> Path:
        return self.folder / FOLDER / f"{label}.json"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
