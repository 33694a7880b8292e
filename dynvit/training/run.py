"""Train a method on a dataset into a folder: the one way, for the command line and for the bench."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from dynvit.backbones.build import build, describe
from dynvit.backbones.weights import find_weights, sha256_of
from dynvit.checkpoint import CONFIG, WEIGHTS, CheckpointConfig, TrainingConfig, is_checkpoint, method_config, save
from dynvit.data import DatasetSpec, ImageSource, open_split
from dynvit.data.opening import drawn
from dynvit.data.pixels import PixelBatches
from dynvit.data.training import TrainingBatches
from dynvit.data.transforms import Preprocessing, preprocessing_for, seeded
from dynvit.errors import InputError, unknown
from dynvit.files import atomic
from dynvit.interface import DynamicModel, Method, Recipe, methods
from dynvit.options import options_from_json, options_to_json
from dynvit.processes import several_on_cpu
from dynvit.session.dataset import backbone_for, find_dataset
from dynvit.training.request import RunSettings, TrainRequest
from dynvit.training.trainer import TrainerSettings, TrainingSummary, Validate, train

REQUEST, STATE, LOG = "request.json", "state/state.pt", "log.jsonl"
_OURS = (CONFIG, WEIGHTS, STATE, LOG)
HELD_OUT = 1000  # images looked at after each epoch: enough to see a fault, cheap beside an epoch


def train_to(folder: str | os.PathLike[str], request: TrainRequest, settings: RunSettings | None = None) -> Path:
    """Train into ``folder``, continuing what a killed run left there; a finished one is returned at once.

    The folder is a checkpoint when it is done (``dynvit.checkpoint.load``), with ``log.jsonl`` beside.

    Raises: ``InputError`` for a folder that holds another training, for wrong names, options, data or weights, and
    for a training that diverges.
    """
    path, settings = Path(folder), settings or RunSettings()
    check_folder(path, request)
    if is_checkpoint(path):
        return path
    accelerator = _accelerator(path, request, settings)
    spec = find_dataset(request.dataset, settings.data_dir)
    method = methods.get(request.method)()
    recipe_name, recipe = _recipe(method, request)
    backbone_spec = backbone_for(request.backbone, spec, request.weights, request.image_size, True, request.seed)
    source = _open(request, spec, settings, "train", request.limit_train)
    held_out = _open(request, spec, settings, "calibration", None)
    with seeded(request.seed):
        backbone = build(backbone_spec)
        info = describe(backbone_spec, backbone)
        preprocessing = preprocessing_for(vars(backbone)["pretrained_cfg"], spec, image_size=request.image_size)
        options = options_from_json(method.Options, request.options)
        if request.target is not None:
            options = method.options_for(request.target, backbone, options)
        model = method.attach(backbone, options)
        stages = method.stages(model, recipe)
    loader = TrainingBatches(
        source,
        preprocessing,
        recipe.augment,
        batch_size=_share(recipe.batch_size, accelerator.num_processes),
        seed=request.seed,
        rank=accelerator.process_index,
        world=accelerator.num_processes,
        workers=settings.workers,
    )
    if accelerator.is_main_process:
        with atomic(path / REQUEST) as temporary:
            temporary.write_text(json.dumps(_identity(request), indent=2) + "\n", encoding="utf-8")
    accelerator.wait_for_everyone()
    summary = train(
        model,
        stages,
        recipe,
        loader,
        TrainerSettings(
            classes=spec.num_classes,
            seed=request.seed,
            accumulate=settings.accumulate,
            state=path / STATE,
            state_every=settings.state_every,
            log=path / LOG,
            task=f"training {request.method}",
            quiet=settings.quiet,
        ),
        accelerator,
        _validation(drawn(held_out, HELD_OUT, request.data_seed), settings, preprocessing, accelerator),
    )
    if accelerator.is_main_process:
        config = CheckpointConfig(
            method=method_config(request.method, options_to_json(options)),
            backbone=backbone_spec,
            backbone_info=info,
            preprocessing=preprocessing,
            dataset=spec.name,
            class_names=spec.class_names,
            target=request.target,
            data_seed=request.data_seed,
            calibration=len(held_out),
            training=_training_config(request, settings, recipe_name, recipe, source, summary, accelerator),
            weights_sha256="0" * 64,
        )
        save(path, model, config)
        (path / STATE).unlink(missing_ok=True)
    accelerator.wait_for_everyone()
    accelerator.end_training()
    return path


def check_folder(folder: Path, request: TrainRequest) -> bool:
    """Whether ``folder`` holds this very training, begun or finished; False where it holds none.

    Raises: ``InputError`` where it holds another, naming what differs.
    """
    file = folder / REQUEST
    if not file.is_file():
        if folder.exists() and (not folder.is_dir() or any((folder / name).exists() for name in _OURS)):
            raise InputError(f"{folder} holds something else than a training: give a new folder with --output")
        return False
    try:
        there: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{file} is not JSON ({error}): give a new folder with --output") from error
    asked = _identity(request)
    for name in {**there, **asked}:
        if there.get(name) != asked.get(name):
            raise InputError(
                f"{folder} holds another training, with {name} {there.get(name)!r} where {asked.get(name)!r} is asked "
                "for: give a new folder with --output, or the same settings"
            )
    return True


def _identity(request: TrainRequest) -> dict[str, Any]:
    """The request as it is compared: weights by what they are, not by where they lie."""
    sha256 = None if request.weights is None else sha256_of(find_weights(request.weights))
    body: dict[str, Any] = request.model_dump(mode="json", exclude={"weights"})
    return body | {"weights_sha256": sha256}


def _accelerator(folder: Path, request: TrainRequest, settings: RunSettings) -> Accelerator:
    if settings.track is not None:
        _check_tracker(settings.track)
    try:
        accelerator = Accelerator(
            cpu=several_on_cpu(),
            mixed_precision=request.mixed_precision,
            log_with=settings.track,
            project_dir=str(folder / "tracking"),
        )
    except ValueError as error:  # a device without fp16, a second precision in one process
        raise InputError(f"mixed precision {request.mixed_precision}: {error}") from error
    if settings.track is not None:
        plain = {name: v for name, v in request.model_dump().items() if isinstance(v, str | int | float)}
        accelerator.init_trackers("dynvit", config=plain)
    return accelerator


def _check_tracker(name: str) -> None:
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers

    known = [str(kind) for kind in LOGGER_TYPE_TO_CLASS]
    if name not in known:
        raise unknown("tracker", name, known)
    if name not in map(str, get_available_trackers()):
        how = "pip install dynvit[track]" if name == "tensorboard" else f"pip install {name}"
        raise InputError(f"tracker {name} is not installed: {how}, or leave out --track")


def _recipe(method: Method[Any], request: TrainRequest) -> tuple[str, Recipe]:
    recipes = method.recipes
    if not recipes:
        raise InputError(f"method {request.method} has no recipe, for it has nothing to train")
    name = request.recipe or (request.dataset if request.dataset in recipes else next(iter(recipes)))
    if name not in recipes:
        raise unknown(f"recipe of {request.method}", name, recipes)
    asked = {"epochs": request.epochs, "batch_size": request.batch_size, "lr": request.lr}
    given = {field: value for field, value in asked.items() if value is not None}
    return name, dataclasses.replace(recipes[name], **given)  # type: ignore[arg-type]


def _share(batch_size: int, processes: int) -> int:
    if batch_size % processes:
        raise InputError(
            f"a batch of {batch_size} images does not divide over {processes} processes: give another --batch-size"
        )
    return batch_size // processes


def _open(
    request: TrainRequest, spec: DatasetSpec, settings: RunSettings, split: str, limit: int | None
) -> ImageSource:
    return open_split(
        spec,
        split,
        data_dir=settings.data_dir,
        seed=request.data_seed,
        calibration=request.calibration,
        on_bad_sample=settings.on_bad_sample,
        limit=limit,
    )


def _validation(
    source: ImageSource, settings: RunSettings, preprocessing: Preprocessing, accelerator: Accelerator
) -> Validate:
    """Top-1 at the neutral point on images held out of train; None of a model without such a point."""
    batches = PixelBatches(source, preprocessing, workers=settings.workers)

    def validate(model: DynamicModel) -> float | None:
        if model.neutral is None:
            return None
        right = 0
        for batch in batches:
            images = batch.images.to(accelerator.device).float() / 255
            with accelerator.autocast():
                answers = model.predict(images, model.neutral).logits.argmax(1)
            right += int((answers.cpu() == batch.labels).sum())
        return 100 * right / len(source)

    return validate


def _training_config(
    request: TrainRequest,
    settings: RunSettings,
    recipe_name: str,
    recipe: Recipe,
    source: ImageSource,
    summary: TrainingSummary,
    accelerator: Accelerator,
) -> TrainingConfig:
    return TrainingConfig(
        recipe_name=recipe_name,
        recipe=dataclasses.asdict(recipe),
        epochs=summary.epochs,
        seed=request.seed,
        mixed_precision=accelerator.mixed_precision,
        processes=accelerator.num_processes,
        train_samples=len(source),
        train_manifest_sha256=source.manifest.sha256,
        metrics=summary.metrics,
        command=settings.command,
    )
