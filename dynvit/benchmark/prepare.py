"""Which models a bench compares, and where each comes from: weights as given, a checkpoint, or a training."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from dynvit.backbones.build import BackboneSpec, build, pretrained_weights
from dynvit.benchmark.checks import check_planned
from dynvit.benchmark.config import TRAINED, BenchConfig
from dynvit.benchmark.trainings import Trainings
from dynvit.divisions import refuse_changes
from dynvit.errors import InputError, unknown
from dynvit.interface import methods
from dynvit.measurements.base import Measurement
from dynvit.options import options_to_json
from dynvit.session import OpenModel, Session, Wanted, check_weights_are_used
from dynvit.training.forecast import Forecast
from dynvit.training.further import takes_target, trains_at_a_point
from dynvit.training.images import TrainImages

START = "start"
"""The folder of the weights that a division's trainings begin from, where a bench makes them."""
_TRAINED_BY_DEFAULT = frozenset({"digits"})  # where no weights can be had

Measurements = Sequence[Measurement[Any, Any, Any]]


@dataclass(frozen=True)
class Planned:
    """A model that is not open yet. ``source`` says to people where its weights come from."""

    wanted: Wanted
    source: str
    target: float | None = None
    trained: bool = False
    seed: int | None = None
    """Of its training; None: the bench's."""

    @property
    def label(self) -> str:
        """For people."""
        return self.wanted.label


@dataclass(frozen=True)
class Preparation:
    """All models of a bench, checked as far as can be without running anything."""

    config: BenchConfig
    session: Session
    backbone: BackboneSpec
    planned: tuple[Planned, ...]
    trains_backbone: bool
    measurements: Measurements = ()

    @property
    def start(self) -> str | None:
        """The folder of the training that all others begin from; None where weights are given."""
        if not self.trains_backbone:
            return None
        return static_method() if self.config.division is None else START

    def models(self, folder: Path, command: str, labels: Collection[str] | None = None) -> list[OpenModel]:
        """Train what is to be trained into ``folder/train``, and open every model, or those of the ``labels``."""
        training = folder / TRAINED
        backbone = self.started(folder, command)
        seed = self.config.seed if self.trains_backbone else None
        wanted = [one for one in self.planned if labels is None or one.label in labels]
        return [self._open(planned, backbone, seed, training, command) for planned in wanted]

    def started(self, folder: Path, command: str) -> BackboneSpec:
        """The backbone that all trainings begin from, trained where it is to be."""
        if self.start is None:
            return self.backbone
        made = self.trainings.of_start.train(folder / TRAINED / self.start, command, static_method())
        return replace(self.backbone, weights=str(made), new_head=False)

    def train(self, planned: Planned, backbone: BackboneSpec, training: Path, command: str) -> Path:
        """Train one model, or go on with what was begun. Returns the checkpoint's folder."""
        wanted = planned.wanted
        options = options_to_json(wanted.options)
        return Trainings(self.config, self.session, backbone, self.images).train(
            training / planned.label, command, wanted.name, options, planned.target, planned.seed
        )

    def _open(
        self, planned: Planned, backbone: BackboneSpec, seed: int | None, training: Path, command: str
    ) -> OpenModel:
        wanted = planned.wanted
        if planned.trained:
            made = self.train(planned, backbone, training, command)
            return self.session.open(replace(wanted, checkpoint=str(made)), training)
        if wanted.checkpoint is None:
            return self.session.attach(wanted, backbone, training, seed)
        opened = self.session.open(wanted, training)
        for measurement in self.measurements:
            measurement.measurer.check_model(opened.label, opened.model, opened.knobs)
        return opened

    @property
    def trainings(self) -> Trainings:
        """What is trained before anything is measured."""
        return Trainings(self.config, self.session, self.backbone, self.images)

    @cached_property
    def images(self) -> TrainImages:
        """What all of them learn from: opened once, however many models were trained before."""
        (dataset, data_dir), request = self.session.place, self.session.request
        drawn = self.session.data_seed, request.calibration, self.config.limit_train
        return TrainImages(dataset, data_dir, *drawn, request.on_bad_sample)

    def forecasts(self, but: Collection[str] = ()) -> Iterator[tuple[str, Forecast]]:
        """What each training would do and take, by a few steps of it, with its label; nothing is written.

        Those in ``but`` are left out.
        """
        if self.start is not None and self.start not in but:
            yield self.start, self.trainings.of_start.forecast(static_method())
        for one in self.planned:
            if one.trained and one.label not in but:
                options = options_to_json(one.wanted.options)
                yield one.label, self.trainings.forecast(one.wanted.name, options, one.target)


def static_method() -> str:
    """The method that is the backbone itself, whose training makes what all others stand on."""
    for name, method in methods.load_all().items():
        if method.static:
            return name
    raise InputError("no installed method trains a plain backbone: give --weights")


def prepare(config: BenchConfig, session: Session, measurements: Measurements = ()) -> Preparation:
    """Check methods, options, weights and checkpoints; nothing is trained or written.

    Raises: ``InputError`` for an unknown name, for weights that do not fit or that no model has, for a method
    that needs training and has none, for one that a measurement refuses.
    """
    for given in (*config.method_checkpoint, *config.options):
        if given not in config.methods:
            raise InputError(f"method {given!r} is not benched: --methods has {', '.join(config.methods)}")
    check_weights_are_used(config, config.methods)
    trains = _trains(config, session)
    used = not config.all_have_checkpoints(config.methods)  # a backbone that no model has is not trained
    trains_backbone = trains and used and (config.weights is None or not _fits(session))
    backbone = replace(session.backbone, new_head=trains_backbone)
    if config.weights is None and not trains_backbone and used:
        raise InputError(
            f"backbone {backbone.name} has no weights: give {_timms(backbone.name)}--weights FILE, or --train to train "
            f"it on {session.dataset.name}"
        )
    session.preprocessing(build(backbone))  # what is wrong with it is said before anything is trained
    planned = tuple(one for name in config.methods for one in _plan(config, name, trains))
    if config.recipe is not None and not any(config.recipe in type(one.wanted.method).recipes for one in planned):
        known = {recipe for one in planned for recipe in type(one.wanted.method).recipes}
        raise unknown("recipe", config.recipe, known)
    preparation = Preparation(config, session, backbone, planned, trains_backbone, measurements)
    if trains_backbone:
        preparation.trainings.of_start.recipe(static_method())
    check_planned(preparation)
    return preparation


def _trains(config: BenchConfig, session: Session) -> bool:
    """Whether to train what needs training: asked for, else where some method is given nothing that it could use.

    Raises: ``InputError`` where a division is to be trained, and nothing is.
    """
    if config.division is not None:
        if config.train is False:
            raise InputError(f"--division {config.division} trains every model: leave that out, or --no-train")
        refuse_changes({name: getattr(config, name) for name in ("recipe", "lr", "train_batch_size", "scale_lr")})
        return True
    if config.train is not None:
        return config.train
    lacking = not config.all_have_checkpoints(config.methods)
    return session.dataset.name in _TRAINED_BY_DEFAULT and config.weights is None and lacking


def _plan(config: BenchConfig, name: str, trains: bool) -> Iterator[Planned]:
    wanted = Wanted.of(name, config.options.get(name, ()))
    given = config.method_checkpoint.get(name, ())
    for number, path in enumerate(given, 1):
        label = name if len(given) == 1 else f"{name}-{number}"
        yield Planned(replace(wanted, label=label, checkpoint=path), f"checkpoint {path}")
    if given:
        return
    if config.division is not None:
        yield from _trainings(config, wanted, config.targets if takes_target(wanted.method) else ())
        return
    trains_all = bool(config.train) and bool(wanted.method.recipes) and not wanted.method.static
    if not wanted.method.needs_training and not trains_all:
        yield Planned(wanted, "the backbone's weights")
    elif not trains:
        raise InputError(
            f"method {name!r} has parts that mean nothing before training: give --method-checkpoint {name}=PATH, "
            "or --train to train it first"
        )
    else:
        taken = takes_target(wanted.method) or not _takes_targets(config)  # the training refuses what nothing takes
        yield from _trainings(config, wanted, config.targets if taken else ())


def _takes_targets(config: BenchConfig) -> bool:
    """Whether something is trained here, outside a division, for the targets."""
    trained = [methods.get(name)() for name in config.methods if name not in config.method_checkpoint]
    return any(takes_target(method) and not trains_at_a_point(method) for method in trained)


def _trainings(config: BenchConfig, wanted: Wanted, targets: Sequence[float]) -> Iterator[Planned]:
    """One for each seed and target; none of the latter is one without."""
    for place, seed in enumerate(config.seeds or (config.seed,)):
        for target in targets or (None,):
            label = wanted.name + ("" if target is None else f"-{target:g}") + (f"-seed{seed}" if place else "")
            source = "training" if target is None else f"training for {target:g}"
            yield Planned(replace(wanted, label=label), source, target, trained=True, seed=seed)


def _timms(backbone: str) -> str:
    return "--weights pretrained (timm's own), " if pretrained_weights(backbone) else ""


def _fits(session: Session) -> bool:
    """Whether the given weights answer with the data set's classes, so that nothing must be fine-tuned first."""
    try:
        build(session.backbone)
    except InputError:
        build(replace(session.backbone, new_head=True))
        return False
    return True
