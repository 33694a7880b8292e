"""A model on disk with its operating point: a checkpoint like those of ``dynvit train``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dynvit import checkpoint
from dynvit.backbones.weights import compare
from dynvit.errors import InputError
from dynvit.options import options_to_json
from dynvit.session import checkpoint_facts

if TYPE_CHECKING:
    from dynvit.api.model import Model

_OF_A_TRAINING = "request.json"


def save(model: Model, folder: Path) -> Path:
    """Write the model into ``folder``. Returns it.

    Raises: ``InputError`` for a folder that holds something else, and for a model that could not be built again.
    """
    _check(folder, model)
    config = _config(model)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        checkpoint.save(folder, model.opened.model, config)
    except OSError as error:
        raise InputError(f"{str(folder)!r} cannot be written: {error.strerror}; give another folder") from error
    return folder


def _check(folder: Path, model: Model) -> None:
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{str(folder)!r} is a file: give a folder")
    if (folder / _OF_A_TRAINING).exists():
        raise InputError(f"{str(folder)!r} holds a training: give another folder")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / checkpoint.CONFIG).exists():
        raise InputError(f"{str(folder)!r} holds something else already: give a new folder")
    if (folder / checkpoint.CONFIG).exists():
        kept = checkpoint_facts(folder)
        there, new = f"{kept.method.name} on {kept.backbone_info.name}", f"{model.method} on {model.backbone}"
        if there != new:
            raise InputError(f"{str(folder)!r} holds another model, {there}, got {new}: give a new folder")


def _config(model: Model) -> checkpoint.CheckpointConfig:
    opened, session = model.opened, model.session
    point = None if model.point is None else dict(model.point)
    if opened.config is not None:
        return opened.config.model_copy(update={"point": point, "preprocessing": opened.preprocessing})
    config = checkpoint.CheckpointConfig(
        method=checkpoint.method_config(model.method, options_to_json(opened.options)),
        backbone=session.backbone,
        backbone_info=opened.backbone,
        preprocessing=opened.preprocessing,
        dataset=session.dataset.name,
        class_names=model.class_names,
        target=None,
        data_seed=session.data_seed,
        calibration=session.request.calibration,
        training=None,
        point=point,
        weights_sha256="0" * 64,
    )
    structure = checkpoint.rebuild(config).state_dict()  # whoever opens it builds this, and fills in the weights
    compare(opened.model.state_dict(), structure, str(model.path or model.backbone), f"method {model.method}")
    return config
