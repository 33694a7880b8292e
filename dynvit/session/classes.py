"""A session of models alone: their classes are known, the data set may not be."""

from __future__ import annotations

from pathlib import Path

from dynvit.backbones.build import BackboneSpec, build, image_size
from dynvit.backbones.weights import classes_of, find_weights, read_weights
from dynvit.checkpoint import CheckpointConfig, folder_of, read_config
from dynvit.data.datasets import DatasetSpec, datasets
from dynvit.errors import InputError
from dynvit.request import SessionRequest
from dynvit.session.dataset import find_dataset
from dynvit.session.session import Session, open_session


def open_models(request: SessionRequest) -> Session:
    """A session to answer in. Where no data set is named, or it is not known here, the classes come from the
    checkpoint, else from the head that the backbone's weights have.

    Raises: as ``open_session``; ``InputError`` where nothing tells the classes.
    """
    if request.dataset is not None:
        return open_session(request)
    configs = [read_config(path) for path in request.checkpoints if Path(path).is_dir()]
    if request.weights is not None and (folder := folder_of(request.weights)) is not None:
        configs.append(read_config(folder))
    if not configs:
        return open_session(request, _of_weights(request))
    classes = _of_checkpoint(configs[0])
    return open_session(request, None if _is_here(classes, request.data_dir) else classes)


def _is_here(classes: DatasetSpec, data_dir: str | None) -> bool:
    """Whether a data set of this name is known here, and has the same classes."""
    try:
        found = find_dataset(classes.name, data_dir) if classes.name else None
    except InputError:
        if classes.name in datasets.names():
            raise  # it is known, and not read from data_dir
        return False
    if found is None or found.num_classes != classes.num_classes:
        return False
    return not (found.class_names and classes.class_names) or found.class_names == classes.class_names


def _of_checkpoint(config: CheckpointConfig) -> DatasetSpec:
    info, spec = config.backbone_info, config.backbone
    return DatasetSpec(
        name=config.dataset,
        num_classes=info.num_classes,
        image_size=info.image_size[0],
        description="what the checkpoint was made for",
        class_names=config.class_names,
        mean=spec.mean,
        std=spec.std,
    )


def _of_weights(request: SessionRequest) -> DatasetSpec:
    if request.backbone is None or request.weights is None:
        raise InputError("give backbone and weights, timm's name and a file: nothing else tells the model's classes")
    backbone = build(BackboneSpec(request.backbone, image_size=request.image_size))
    classes = classes_of(read_weights(find_weights(request.weights)), backbone, where=request.weights)
    return DatasetSpec(
        name="",
        num_classes=classes,
        image_size=image_size(backbone)[0],
        description="what the weights were trained on",
        class_names=class_names_by_count(classes),
    )


def class_names_by_count(classes: int) -> tuple[str, ...]:
    """ImageNet's names where there are as many classes as one of its sets has, which is how timm guesses them."""
    from timm.data import ImageNetInfo, infer_imagenet_subset

    subset = infer_imagenet_subset({"num_classes": classes})
    if subset is None:
        return ()
    info = ImageNetInfo(subset)
    return tuple(info.index_to_description(index) for index in range(classes))
