"""Which models a bench compares, and where each comes from: weights as given, a checkpoint, or a training."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dynvit.backbones.adapter import family_of
from dynvit.backbones.build import BackboneSpec, build, image_size, pretrained_weights
from dynvit.benchmark.config import BenchConfig
from dynvit.budgets import KnobSolver, check_feasible, noise_batch
from dynvit.errors import InputError, unknown
from dynvit.interface import DynamicModel, methods
from dynvit.measurements.base import Measurement
from dynvit.options import options_to_json
from dynvit.recipe import Situation
from dynvit.recipes import ChosenRecipe, choose_recipe
from dynvit.session import OpenModel, Session, Wanted
from dynvit.training.forecast import Forecast, forecast
from dynvit.training.request import RunOptions, RunSettings, TrainingOptions, TrainRequest
from dynvit.training.run import train_to
from dynvit.units import GIGA

_TRAINED_BY_DEFAULT = frozenset({"digits"})  # where no weights can be had

Measurements = Sequence[Measurement[Any, Any, Any]]


@dataclass(frozen=True)
class Planned:
    """A model that is not open yet. ``source`` says to people where its weights come from."""

    wanted: Wanted
    source: str
    target: float | None = None
    trained: bool = False

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

    def models(self, folder: Path, command: str) -> list[OpenModel]:
        """Train what is to be trained into ``folder/train``, and open every model."""
        training = folder / "train"
        backbone, seed = self.backbone, None
        if self.trains_backbone:
            static = static_method()
            made = self._train(training / static, self._request(static, {}, None, self.backbone), command)
            backbone, seed = replace(backbone, weights=str(made), new_head=False), self.config.seed
        return [self._open(planned, backbone, seed, training, command) for planned in self.planned]

    def _open(
        self, planned: Planned, backbone: BackboneSpec, seed: int | None, training: Path, command: str
    ) -> OpenModel:
        wanted = planned.wanted
        if planned.trained:
            request = self._request(wanted.name, options_to_json(wanted.options), planned.target, backbone)
            made = self._train(training / planned.label, request, command)
            return self.session.open(replace(wanted, checkpoint=str(made)), training)
        if wanted.checkpoint is None:
            return self.session.attach(wanted, backbone, training, seed)
        opened = self.session.open(wanted, training)
        for measurement in self.measurements:
            measurement.measurer.check_model(opened.label, opened.model, opened.knobs)
        return opened

    def _request(
        self, name: str, options: dict[str, Any], target: float | None, backbone: BackboneSpec
    ) -> TrainRequest:
        config = self.config
        shared = {field: getattr(config, field) for field in TrainingOptions.model_fields}
        asked = {
            "recipe": self.recipe(name).name,
            "batch_size": config.train_batch_size,
            "mixed_precision": None if config.mixed_precision == "no" else config.mixed_precision,
        }
        return TrainRequest(
            **shared | asked,
            method=name,
            backbone=backbone.name,
            dataset=self.session.place[0],
            options=options,
            weights=backbone.weights,
            image_size=self.session.request.image_size,
            target=target,
            seed=config.seed,
            data_seed=self.session.data_seed,
            calibration=self.session.request.calibration,
        )

    def _train(self, folder: Path, request: TrainRequest, command: str) -> Path:
        return train_to(folder, request, self._settings(command))

    def _settings(self, command: str) -> RunSettings:
        config = self.config
        shared = {field: getattr(config, field) for field in RunOptions.model_fields}
        return RunSettings(
            **shared,
            data_dir=self.session.place[1],
            on_bad_sample=self.session.request.on_bad_sample,
            workers=config.workers,
            command=command,
        )

    def recipe(self, name: str) -> ChosenRecipe:
        """The recipe that a method is trained by here: the one that is asked for where it has it, else what fits.

        Raises: ``InputError`` where none or several fit.
        """
        recipes, bare = methods.get(name).recipes, self.session.untrained()
        what = Situation(self.backbone.name, family_of(bare), self.session.dataset.name, image_size(bare)[0])
        return choose_recipe(name, recipes, what, self.config.recipe if self.config.recipe in recipes else None)

    def forecasts(self) -> Iterator[Forecast]:
        """What each training would do and take, by a few steps of it; nothing is written."""
        settings = self._settings("")
        if self.trains_backbone:
            static = static_method()
            made = forecast(self._request(static, {}, None, self.backbone), settings)
            yield replace(made, chosen=self.recipe(static))
        for one in self.planned:
            if one.trained:
                options = options_to_json(one.wanted.options)
                made = forecast(self._request(one.wanted.name, options, one.target, self.backbone), settings)
                yield replace(made, chosen=self.recipe(one.wanted.name))


def static_method() -> str:
    """The method that is the backbone itself, whose training makes what all others stand on."""
    for name, method in methods.load_all().items():
        if method.static:
            return name
    raise InputError("no installed method trains a plain backbone: give --weights")


def prepare(config: BenchConfig, session: Session, measurements: Measurements = ()) -> Preparation:
    """Check methods, options, weights and checkpoints; nothing is trained or written.

    Raises: ``InputError`` for an unknown name, for weights that do not fit, for a method that needs training and
    has none, for one that a measurement refuses.
    """
    for given in (*config.method_checkpoint, *config.options):
        if given not in config.methods:
            raise InputError(f"method {given!r} is not benched: --methods has {', '.join(config.methods)}")
    trains = _trains(config, session)
    trains_backbone = trains and (config.weights is None or not _fits(session))
    backbone = replace(session.backbone, new_head=trains_backbone)
    if config.weights is None and not trains_backbone and len(config.method_checkpoint) < len(config.methods):
        raise InputError(
            f"backbone {backbone.name} has no weights: give {_timms(backbone.name)}--weights FILE, or --train to train "
            f"it on {session.dataset.name}"
        )
    session.preprocessing(build(backbone))  # what is wrong with it is said before anything is trained
    planned = tuple(one for name in config.methods for one in _plan(config, name, trains))
    if config.recipe is not None and not any(config.recipe in type(one.wanted.method).recipes for one in planned):
        known = {recipe for one in planned for recipe in type(one.wanted.method).recipes}
        raise unknown("recipe", config.recipe, known)
    if config.train and not trains_backbone and not any(one.trained for one in planned):
        warnings.warn(
            f"--train: nothing is trained, for {', '.join(one.label for one in planned)} "
            f"{'is' if len(planned) == 1 else 'are'} measured with the weights that are given, which fit "
            f"{session.dataset.name}; dynvit train trains them further",
            stacklevel=2,
        )
    preparation = Preparation(config, session, backbone, planned, trains_backbone, measurements)
    if trains_backbone:
        preparation.recipe(static_method())
    for one in planned:
        _check(preparation, one)
    return preparation


def _check(preparation: Preparation, planned: Planned) -> None:
    wanted, config = planned.wanted, preparation.config
    if wanted.checkpoint is not None:
        preparation.session.check(wanted)
        return
    if planned.trained:
        preparation.recipe(wanted.name)
    attached = wanted.method.attach(preparation.session.untrained(), wanted.options)
    _check_budgets(config.budgets, wanted, attached)
    for measurement in preparation.measurements:
        measurement.measurer.check_model(wanted.label, attached, wanted.method.knobs(wanted.options))
    if planned.target is not None:
        wanted.method.options_for(planned.target, preparation.session.untrained(), wanted.options)


def _trains(config: BenchConfig, session: Session) -> bool:
    """Whether to train what needs training: asked for, else where some method is given nothing that it could use."""
    if config.train is not None:
        return config.train
    lacking = len(config.method_checkpoint) < len(config.methods)
    return session.dataset.name in _TRAINED_BY_DEFAULT and config.weights is None and lacking


def _plan(config: BenchConfig, name: str, trains: bool) -> Iterator[Planned]:
    wanted = Wanted.of(name, config.options.get(name, ()))
    given = config.method_checkpoint.get(name, ())
    for number, path in enumerate(given, 1):
        label = name if len(given) == 1 else f"{name}-{number}"
        yield Planned(replace(wanted, label=label, checkpoint=path), f"checkpoint {path}")
    if given:
        return
    trains_all = bool(config.train) and bool(wanted.method.recipes) and not wanted.method.static
    if not wanted.method.needs_training and not trains_all:
        yield Planned(wanted, "the backbone's weights")
    elif not trains:
        raise InputError(
            f"method {name!r} has parts that mean nothing before training: give --method-checkpoint {name}=PATH, "
            "or --train to train it first"
        )
    elif not config.targets:
        yield Planned(wanted, "training", trained=True)
    else:
        for target in config.targets:
            label = f"{name}-{target:g}"
            yield Planned(replace(wanted, label=label), f"training for {target:g}", target=target, trained=True)


def _check_budgets(budgets: Sequence[float], wanted: Wanted, model: DynamicModel) -> None:
    """Budgets out of range are found before a training where weights do not decide what is in range."""
    method = wanted.method
    if budgets and method.budget_knob is not None and not method.adaptive_cost:
        noise = noise_batch(image_size(model.backbone))
        solver = KnobSolver(model, method.budget_knob, method.knobs(wanted.options), [noise])
        for budget in budgets:
            check_feasible(budget * GIGA, solver.range(), wanted.label)


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
