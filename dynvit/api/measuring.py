"""Accuracy and compute of a model at its operating point, with nothing written to disk."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dynvit.api.loading import load
from dynvit.api.model import Model
from dynvit.data.class_match import check_same_classes
from dynvit.errors import InputError
from dynvit.knobs import point_said
from dynvit.leaderboard.record import Record
from dynvit.measurements.accuracy.measure import Recorder, Target
from dynvit.measurements.run import Run
from dynvit.measurements.task import MeasuredPoint
from dynvit.processes import process_state
from dynvit.progress import Progress
from dynvit.reading import path_given
from dynvit.request import SessionRequest
from dynvit.session import Session, find_dataset
from dynvit.settings import flags_of, validated, whole


@dataclass(frozen=True)
class Evaluation:
    """What was measured of a model at one point. ``record`` is what a bench writes of the same."""

    record: Record

    @property
    def top1(self) -> float:
        """Units: percent."""
        return self.record.accuracy.top1_pct

    @property
    def top5(self) -> float | None:
        """None with five classes or fewer. Units: percent."""
        return self.record.accuracy.top5_pct

    @property
    def interval(self) -> tuple[float, float]:
        """The ends of top-1's 95 % interval. Units: percent."""
        return self.record.accuracy.top1_ci95_low_pct, self.record.accuracy.top1_ci95_high_pct

    @property
    def gmacs(self) -> float:
        """Units: mean GMACs an image."""
        return self.record.compute.gmacs_mean

    @property
    def saving_pct(self) -> float:
        """What is saved against the dense backbone. Units: percent of its MACs."""
        return self.record.compute.saving_pct

    @property
    def images(self) -> int:
        """How many images were measured."""
        return self.record.dataset.n_unique

    def __repr__(self) -> str:
        low, high = self.interval
        where = f"{self.record.dataset.name} {self.record.dataset.split}, {self.images:,} images"
        return (
            f"Evaluation(top-1 {self.top1:.1f} % [{low:.1f}, {high:.1f}], {self.gmacs:.4g} GMACs, "
            f"{self.saving_pct:.1f} % saved; {where})"
        )


def evaluate(
    model: Model | str | os.PathLike[str],
    dataset: str | os.PathLike[str] | None = None,
    *,
    split: str = "validation",
    data_dir: str | os.PathLike[str] | None = None,
    limit: int | None = None,
    batch_size: int = 64,
) -> Evaluation:
    """Measure accuracy and compute of a model at its operating point; nothing is written.

    Args:
        model: from ``dynvit.load``, or what that takes.
        dataset: a name or the folder of a packed data set; default: the model's own.
        split: the images that are reported.
        data_dir: where the shards lie; default: $DYNVIT_DATA/DATASET.
        limit: measure on so many images, a fair draw by the data seed.
        batch_size: images a batch.

    Raises: ``InputError`` for a data set that is not here, or that has other classes.
    """
    model = as_model(model)
    session = session_on(model, dataset, split=split, data_dir=data_dir, limit=limit)
    return Evaluation(measure(model, run_on(model, session, batch_size, "dynvit.evaluate")).record)


def as_model(given: Model | str | os.PathLike[str]) -> Model:
    """The model, opened now where it is named. Raises: as ``load``; ``InputError`` for what names none."""
    if isinstance(given, Model):
        return given
    if isinstance(given, str | os.PathLike):
        return load(given)
    raise InputError(f"model must be one of dynvit.load, or what names it, got {type(given).__name__}")


def measure(model: Model, run: Run) -> MeasuredPoint:
    """The model's point with its record, which nobody keeps."""
    target = Target(model.needs_point(), model.budget_gmacs, model.solved_by)
    recorder = Recorder.of_nothing(run)
    with Progress("evaluate", recorder.images(model.opened), quiet=not run.first) as progress:
        [measured] = recorder.measure(model.opened, [target], progress)
    return measured


def session_on(
    model: Model,
    dataset: str | os.PathLike[str] | None = None,
    *,
    split: str = "validation",
    data_dir: str | os.PathLike[str] | None = None,
    limit: int | None = None,
) -> Session:
    """The model's session, on a data set whose classes it answers with.

    Raises: ``InputError`` for one that is not here, or that has other classes.
    """
    flags = {flag.name: flag for flag in flags_of(SessionRequest)}
    given = {"split": split, "limit": limit}
    request = validated(SessionRequest, {name: flags[name].read(v) for name, v in given.items()}, flags.values())
    session = model.session
    dataset = None if dataset is None else path_given(dataset, "dataset")
    own = dataset is None or (dataset == session.dataset.name and session.has_data)
    asked: dict[str, Any] = {"split": request.split, "limit": request.limit}
    if data_dir is not None or not own:
        asked["data_dir"] = None if data_dir is None else path_given(data_dir, "data_dir")
    if own:
        return replace(session, request=session.request.completed(**asked))
    assert dataset is not None
    spec = find_dataset(dataset, asked["data_dir"])
    if spec.num_classes != model.classes:
        raise InputError(f"{spec.name} has {spec.num_classes} classes, the model answers with {model.classes}")
    check_same_classes(model.class_names, spec, "the model")
    return session.on(spec, session.request.completed(dataset=dataset, **asked))


def run_on(model: Model, session: Session, batch_size: int, call: str) -> Run:
    """What the model is measured within, on its own device. ``call`` is what records say made them."""
    batch_size = whole(batch_size, "batch_size")
    source = session.split(limit=session.request.limit)
    state = process_state(session.request.device)
    where = f"{session.dataset.name!r}, split={source.split!r}"
    said = f"{call}({model.method} at {point_said(model.needs_point()) or 'its only point'}, {where})"
    placed = model.device if state.num_processes == 1 else None
    return Run(session, source, Path(), state, said, limit=session.request.limit, batch_size=batch_size, placed=placed)
