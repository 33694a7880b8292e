"""Which models a bench sweeps, and where each comes from: weights as given, a checkpoint, or a training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from optuna.distributions import BaseDistribution
from torch import nn

from dynvit import checkpoint
from dynvit.backbones.build import BackboneSpec, build, describe, image_size
from dynvit.backbones.weights import sha256_of
from dynvit.bench.config import BenchConfig
from dynvit.budgets import KnobSolver, check_feasible, noise_batch
from dynvit.data.datasets import DatasetSpec
from dynvit.data.transforms import Preprocessing, preprocessing_for
from dynvit.errors import InputError, unknown
from dynvit.interface import DynamicModel, Method, OperatingPoint, methods
from dynvit.leaderboard.record import CheckpointRecord
from dynvit.measurements.robustness.gradient import check_gradient
from dynvit.options import options_from_json, options_to_json, parse_options
from dynvit.published import fetch, find
from dynvit.search import draw
from dynvit.session.open_model import OpenModel
from dynvit.training.run import RunSettings, TrainRequest, backbone_for, train_to
from dynvit.units import GIGA


@dataclass(frozen=True)
class Planned:
    """An arm that is not built yet. ``source`` says to people where its weights come from."""

    label: str
    name: str
    method: Method[Any]
    options: Any
    source: str
    checkpoint: str | None = None
    target: float | None = None
    trained: bool = False


@dataclass(frozen=True)
class Preparation:
    """All arms of a bench, checked as far as can be without running anything."""

    config: BenchConfig
    dataset: DatasetSpec
    backbone: BackboneSpec
    planned: tuple[Planned, ...]
    trains_backbone: bool

    def arms(self, folder: Path, command: str) -> list[OpenModel]:
        """Train what is to be trained into ``folder/train``, and build every arm."""
        training = folder / "train"
        backbone, seed = self.backbone, None
        if self.trains_backbone:
            static = static_method()
            made = self._train(training / static, self._request(static, {}, None), command)
            backbone, seed = replace(backbone, weights=str(made), new_head=False), self.config.seed
        return [arm for planned in self.planned for arm in self._build(planned, backbone, seed, training, command)]

    def _build(
        self, planned: Planned, backbone: BackboneSpec, seed: int | None, training: Path, command: str
    ) -> Iterator[OpenModel]:
        if planned.checkpoint is not None:
            arm = self._from_checkpoint(planned, planned.checkpoint, training)
            if self.config.climbs:
                _check_gradient(arm.label, arm.knobs, arm.model)
            yield arm
        elif planned.trained:
            request = self._request(planned.name, options_to_json(planned.options), planned.target)
            request = request.model_copy(update={"weights": backbone.weights})
            made = self._train(training / planned.label, request, command)
            yield self._from_checkpoint(planned, str(made), training)
        else:
            model = build(backbone)
            info = describe(backbone, model)
            yield OpenModel(
                label=planned.label,
                name=planned.name,
                method=planned.method,
                options=planned.options,
                model=planned.method.attach(model, planned.options),
                backbone=replace(info, weights_uri=_within(info.weights_uri, training)),
                preprocessing=self._preprocessing(model),
                training_seed=seed,
            )

    def _from_checkpoint(self, planned: Planned, path: str, training: Path) -> OpenModel:
        if not Path(path).is_dir():
            return self._from_published(planned, path)
        model, config = checkpoint.load(path)
        info = config.backbone_info
        return OpenModel(
            label=planned.label,
            name=planned.name,
            method=planned.method,
            options=options_from_json(planned.method.Options, config.method.options),
            model=model,
            backbone=replace(info, weights_uri=_within(info.weights_uri, training)),
            preprocessing=self._as_given(config.preprocessing),
            checkpoint=CheckpointRecord(uri=_within(path, training) or path, sha256=config.weights_sha256),
            training_seed=config.training.seed,
        )

    def _from_published(self, planned: Planned, given: str) -> OpenModel:
        file = Path(given) if Path(given).exists() else fetch(find(planned.method, given))
        model, _ = planned.method.load_published(str(file))
        backbone = model.backbone
        spec = replace(self.backbone, weights=None)
        info = replace(describe(spec, backbone), weights_uri=given, weights_sha256=sha256_of(file))
        self._same_shape(given, backbone)
        return OpenModel(
            label=planned.label,
            name=planned.name,
            method=planned.method,
            options=getattr(model, "options", planned.options),
            model=model.eval(),
            backbone=info,
            preprocessing=self._preprocessing(backbone),
            checkpoint=CheckpointRecord(uri=given, sha256=info.weights_sha256 or ""),
        )

    def _preprocessing(self, backbone: nn.Module) -> Preprocessing:
        made = preprocessing_for(vars(backbone)["pretrained_cfg"], self.dataset, image_size=self.config.image_size)
        return self._as_given(made)

    def _as_given(self, preprocessing: Preprocessing) -> Preprocessing:
        """The same for every arm where the configuration says how images are cut."""
        config = self.config
        return replace(
            preprocessing,
            crop_pct=config.crop_pct or preprocessing.crop_pct,
            interpolation=config.interpolation or preprocessing.interpolation,
        )

    def check_checkpoint(self, planned: Planned, given: str) -> None:
        """Check a folder of ours, a file in the published layout, or a published name (fetched only in a run).

        Raises: ``InputError`` where there is none, or where it is of another method, backbone or dataset.
        """
        path = Path(given)
        if path.is_dir():
            config = checkpoint.read_config(path)
            if not checkpoint.is_checkpoint(path):
                raise InputError(f"checkpoint {given} has no {checkpoint.WEIGHTS}: copy the whole folder")
            if config.method.name != planned.name:
                raise InputError(f"checkpoint {given} was made by method {config.method.name!r}, not {planned.name!r}")
            self._same_options(planned, given, config.method.options)
            info = config.backbone_info
            self._agree(given, info.name, info.num_classes, info.image_size)
        elif path.is_file():
            model, _ = planned.method.load_published(given)
            self._same_shape(given, model.backbone)
            self._same_options(planned, given, options_to_json(getattr(model, "options", planned.options)))
        elif given not in [published.name for published in planned.method.published]:
            if "/" in given or path.suffix in (".pth", ".pt", ".tar", ".safetensors"):
                raise InputError(
                    f"no checkpoint at {given!r}: give a folder of dynvit train, a published file or its name"
                )
            find(planned.method, given)

    def _same_options(self, planned: Planned, path: str, made_with: dict[str, Any]) -> None:
        """A checkpoint brings its options; one that was asked for must be one of them."""
        asked = options_to_json(planned.options)
        for text in self.config.options.get(planned.name, ()):
            name = text.partition("=")[0].strip()
            if name in made_with and made_with[name] != asked[name]:
                raise InputError(
                    f"checkpoint {path} was made with {planned.name}.{name}={_as_text(made_with[name])}, not "
                    f"{_as_text(asked[name])}: leave out the option, or give a checkpoint that was trained with it"
                )

    def _same_shape(self, path: str, backbone: nn.Module) -> None:
        """A published file does not tell the name of its backbone: its depth, and what lies around its blocks, do."""
        classes: int = vars(backbone)["num_classes"]
        self._agree(path, self.backbone.name, classes, image_size(backbone))
        if _frame(backbone) != _frame(build(replace(self.backbone, weights=None))):
            raise InputError(
                f"checkpoint {path} is not of backbone {self.backbone.name}: give the --backbone that it was made for "
                "(dynvit ls checkpoints)"
            )

    def _agree(self, path: str, backbone: str, classes: int, size: tuple[int, int]) -> None:
        if classes != self.dataset.num_classes:
            raise InputError(
                f"checkpoint {path} answers with {classes} classes, {self.dataset.name} has "
                f"{self.dataset.num_classes}: give one that was trained on it, or --train"
            )
        wanted = self.backbone.image_size
        if backbone != self.backbone.name or (wanted is not None and size != (wanted, wanted)):
            raise InputError(
                f"checkpoint {path} is of {backbone} at {size[0]} pixels, the bench of {self.backbone.name}"
                f"{f' at {wanted}' if wanted else ''}: one front holds one backbone; give --backbone and --image-size"
            )

    def _request(self, name: str, options: dict[str, Any], target: float | None) -> TrainRequest:
        config = self.config
        recipes = methods.get(name).recipes
        return TrainRequest(
            method=name,
            backbone=self.backbone.name,
            dataset=config.dataset,
            options=options,
            weights=self.backbone.weights,
            image_size=config.image_size,
            recipe=next((name for name in (config.recipe, config.dataset) if name in recipes), None),
            epochs=config.epochs,
            target=target,
            seed=config.seed,
            data_seed=config.seed,
            mixed_precision=None if config.mixed_precision == "no" else config.mixed_precision,
        )

    def _train(self, folder: Path, request: TrainRequest, command: str) -> Path:
        settings = RunSettings(data_dir=self.config.data_dir, workers=self.config.workers, command=command)
        return train_to(folder, request, settings)


def static_method() -> str:
    """The method that is the backbone itself, whose training makes what all others stand on."""
    for name, method in methods.load_all().items():
        if method.static:
            return name
    raise InputError("no installed method trains a plain backbone: give --weights")


def prepare(config: BenchConfig, dataset: DatasetSpec) -> Preparation:
    """Check methods, options, weights and checkpoints; nothing is trained or written.

    Raises: ``InputError`` for an unknown name, for weights that do not fit, for a method that needs training and
    has none, for one that gives an attack no gradient.
    """
    climbs = config.climbs  # what is wrong with the attacks is said first
    for given in (*config.method_checkpoint, *config.options):
        if given not in config.methods:
            raise InputError(f"method {given!r} is not benched: --methods has {', '.join(config.methods)}")
    trains_backbone = config.trains and (config.weights is None or not _fits(config, dataset))
    backbone = backbone_for(
        config.backbone_name, dataset, config.weights, config.image_size, trains_backbone, config.seed
    )
    if config.weights is None and not trains_backbone and len(config.method_checkpoint) < len(config.methods):
        raise InputError(
            f"backbone {backbone.name} has no weights: give --weights FILE, or --train to train it on {dataset.name}"
        )
    model = build(backbone)
    planned = tuple(arm for name in config.methods for arm in _plan(config, name))
    if config.recipe is not None and not any(config.recipe in type(arm.method).recipes for arm in planned):
        known = {recipe for arm in planned for recipe in type(arm.method).recipes}
        raise unknown("recipe", config.recipe, known)
    preparation = Preparation(config, dataset, backbone, planned, trains_backbone)
    preparation._preprocessing(model)  # what is wrong with it is said before anything is trained
    for arm in planned:
        if arm.checkpoint is None:
            attached = arm.method.attach(build(replace(backbone, weights=None)), arm.options)
            _check_budgets(config.budgets, arm, attached)
            if climbs:
                _check_gradient(arm.label, arm.method.knobs(arm.options), attached)
            if arm.target is not None:
                arm.method.options_for(arm.target, model, arm.options)
        else:
            preparation.check_checkpoint(arm, arm.checkpoint)
    return preparation


def _plan(config: BenchConfig, name: str) -> Iterator[Planned]:
    kind = methods.get(name)
    method = kind()
    options = parse_options(kind.Options, config.options.get(name, ()))
    given = config.method_checkpoint.get(name, ())
    for number, path in enumerate(given, 1):
        label = name if len(given) == 1 else f"{name}-{number}"
        yield Planned(label, name, method, options, f"checkpoint {path}", checkpoint=path)
    if given:
        return
    if not kind.needs_training:
        yield Planned(name, name, method, options, "the backbone's weights")
    elif not config.trains:
        raise InputError(
            f"method {name!r} has parts that mean nothing before training: give --method-checkpoint {name}=PATH, "
            "or --train to train it first"
        )
    elif not config.targets:
        yield Planned(name, name, method, options, "training", trained=True)
    else:
        for target in config.targets:
            label = f"{name}-{target:g}"
            yield Planned(label, name, method, options, f"training for {target:g}", target=target, trained=True)


def _check_budgets(budgets: Sequence[float], arm: Planned, model: DynamicModel) -> None:
    """Budgets out of reach are found before a training where weights do not decide what is in reach."""
    if budgets and arm.method.budget_knob is not None and not arm.method.adaptive_cost:
        noise = noise_batch(image_size(model.backbone))
        ladder = KnobSolver(model, arm.method.budget_knob, arm.method.knobs(arm.options), [noise])
        for budget in budgets:
            check_feasible(budget * GIGA, ladder.range(), arm.label)


def _check_gradient(label: str, knobs: Mapping[str, BaseDistribution], model: DynamicModel) -> None:
    """Whether gradients reach the image is a matter of the code, not of weights: any point and any image will do."""
    point = model.neutral or OperatingPoint()
    if knobs:
        [point] = draw(knobs, seed=0, count=1)
    check_gradient(model, point, noise_batch(image_size(model.backbone)).images, label)


def _fits(config: BenchConfig, dataset: DatasetSpec) -> bool:
    """Whether the given weights answer with the dataset's classes, so that nothing must be fine-tuned first."""
    spec = backbone_for(config.backbone_name, dataset, config.weights, config.image_size, False, config.seed)
    try:
        build(spec)
    except InputError:
        build(replace(spec, new_head=True))
        return False
    return True


def _as_text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _frame(backbone: nn.Module) -> tuple[dict[str, tuple[int, ...]], int]:
    """Shapes of all that lies outside the blocks (a method may widen those), and how many blocks there are."""
    state = backbone.state_dict()
    around = {name: tuple(tensor.shape) for name, tensor in state.items() if not name.startswith("blocks.")}
    return around, len({name.split(".")[1] for name in state if name.startswith("blocks.")})


def _within(uri: str | None, training: Path) -> str | None:
    """What this bench trained is named by its place in the output folder, wherever that lies."""
    if uri is None or not Path(uri).is_relative_to(training):
        return uri
    return Path(uri).relative_to(training.parent).as_posix()
