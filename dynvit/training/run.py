"""Train a method on a data set into a folder: the one way, for the command line and for the bench."""

from __future__ import annotations

import dataclasses
import os
import warnings
from contextlib import nullcontext
from pathlib import Path

from accelerate import Accelerator

from dynvit.checkpoint import CheckpointConfig, TrainingConfig, is_checkpoint, method_config, save
from dynvit.errors import InputError
from dynvit.files import locked
from dynvit.options import options_to_json
from dynvit.recipe import numbers_sha256
from dynvit.training.accelerator import accelerator_for
from dynvit.training.batches import loader_of, validation
from dynvit.training.folder import LOG, STATE, check_folder, check_images, claim_folder
from dynvit.training.images import TrainImages
from dynvit.training.prepared import Prepared, prepare
from dynvit.training.request import RunSettings, TrainRequest
from dynvit.training.trainer import TrainerSettings, TrainingLoader, TrainingSummary, train


def train_to(
    folder: str | os.PathLike[str],
    request: TrainRequest,
    settings: RunSettings | None = None,
    images: TrainImages | None = None,
) -> Path:
    """Train into ``folder``, continuing what a killed run left there; a finished one is returned untouched.

    The folder is a checkpoint when it is done (``dynvit.checkpoint.load``), with ``log.jsonl`` beside.

    Args:
        folder: of this training alone.
        request: what is trained.
        settings: how it runs.
        images: the request's, where many trainings share them; a finished one is held to them.

    Raises: ``InputError`` for a folder that holds another training, or this one on other images, or is written by
    another process, for wrong names, options, data or weights, and for a training that diverges.
    """
    path, settings = Path(folder), settings or RunSettings()
    check_folder(path, request)
    if is_checkpoint(path):
        given = (images or TrainImages.of(request, settings)).manifest_sha256
        if given is not None:
            check_images(path, given)
        return path
    accelerator = accelerator_for(path, request, settings)
    prepared = prepare(request, settings)
    check_images(path, prepared.source.manifest.sha256)
    for said in (prepared.chosen.caution, prepared.changed):
        if said and accelerator.is_main_process:
            warnings.warn(said, stacklevel=2)
    loader = loader_of(prepared, request, settings, accelerator)  # what is wrong is found before anything is written
    with locked(path) if accelerator.is_main_process else nullcontext():
        _train(path, request, settings, prepared, loader, accelerator)
    return path


def _train(
    path: Path,
    request: TrainRequest,
    settings: RunSettings,
    prepared: Prepared,
    loader: TrainingLoader,
    accelerator: Accelerator,
) -> None:
    if accelerator.is_main_process:
        if check_folder(path, request) and is_checkpoint(path):
            raise InputError(f"another process has just finished the training in {path}: run the same command again")
        claim_folder(path, request, prepared.source.manifest.sha256)
    accelerator.wait_for_everyone()
    summary = train(
        prepared.model,
        prepared.stages,
        prepared.recipe,
        loader,
        TrainerSettings(
            classes=prepared.spec.num_classes,
            seed=request.seed,
            accumulate=settings.accumulate,
            state=path / STATE,
            state_every=settings.state_every * 60,
            log=path / LOG,
            task=f"training {request.method}",
            quiet=settings.quiet,
        ),
        accelerator,
        validation(prepared, request, settings, accelerator),
    )
    if accelerator.is_main_process:
        save(path, prepared.model, _config(prepared, request, settings, summary, accelerator))
        (path / STATE).unlink(missing_ok=True)
    accelerator.wait_for_everyone()
    for tracker in accelerator.trackers:
        tracker.finish()  # not end_training(): it would also end the group of processes, which a bench goes on in


def _config(
    prepared: Prepared,
    request: TrainRequest,
    settings: RunSettings,
    summary: TrainingSummary,
    accelerator: Accelerator,
) -> CheckpointConfig:
    """What the checkpoint says of itself; ``save`` puts in the hash of its weights."""
    training = TrainingConfig(
        recipe_name=prepared.chosen.name,
        recipe=dataclasses.asdict(prepared.recipe),
        epochs=summary.epochs,
        seed=request.seed,
        mixed_precision=accelerator.mixed_precision,
        processes=accelerator.num_processes,
        train_samples=len(prepared.source),
        train_manifest_sha256=prepared.source.manifest.sha256,
        metrics=summary.metrics,
        command=settings.command,
        division="free" if prepared.shared is None else "fine-tuned",
        recipe_sha256=numbers_sha256(prepared.shared or prepared.recipe),
        start_sha256=prepared.info.weights_sha256,
        images_seen=summary.images_seen,
        images_seen_unlabelled=summary.images_seen_unlabelled,
        training_gmacs=summary.gmacs,
        wall_s=summary.seconds,
        halved_into=summary.pieces,
    )
    return CheckpointConfig(
        method=method_config(request.method, options_to_json(prepared.options)),
        backbone=prepared.backbone,
        backbone_info=prepared.info,
        preprocessing=prepared.preprocessing,
        dataset=prepared.spec.name,
        class_names=prepared.spec.class_names,
        target=request.target,
        data_seed=request.data_seed,
        calibration=len(prepared.held_out),
        training=training,
        point=None if prepared.point is None else dict(prepared.point),
        weights_sha256="0" * 64,
    )
