"""Whether a checkpoint is of a session: of its method, its backbone, its size and its classes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from dynvit import checkpoint
from dynvit.backbones.build import image_size
from dynvit.data.class_match import check_same_classes
from dynvit.errors import InputError
from dynvit.options import options_to_json
from dynvit.published import find
from dynvit.request import SessionRequest
from dynvit.session.wanted import Wanted

if TYPE_CHECKING:
    from dynvit.session.session import Session


def check_checkpoint(session: Session, wanted: Wanted) -> None:
    """Check a folder of ours, a file in the published layout, or a published name (fetched only when opened).

    Raises: ``InputError`` where there is none, or where it is of another method, backbone, size or classes.
    """
    given = wanted.checkpoint
    assert given is not None
    path = Path(given)
    if path.is_dir():
        _check_folder(session, wanted, given)
    elif path.is_file():
        model, _ = wanted.method.load_published(given)
        check_shape(session, given, model.backbone)
        _same_options(wanted, given, options_to_json(getattr(model, "options", wanted.options)))
    elif given not in [published.name for published in wanted.method.published]:
        if "/" in given or path.suffix in (".pth", ".pt", ".tar", ".safetensors"):
            raise InputError(f"no checkpoint at {given!r}: give a folder of dynvit train, a published file or its name")
        find(wanted.method, given)


def check_weights(session: Session, weights: str | None) -> None:
    """Check that a checkpoint of ours, given as weights that are measured as they are, was made for these classes.

    Raises: ``InputError`` with the first class that differs.
    """
    if weights is not None and (folder := checkpoint.folder_of(weights)) is not None:
        check_same_classes(checkpoint.read_config(folder).class_names, session.dataset, f"weights {weights}")


def check_weights_are_used(request: SessionRequest, methods: Iterable[str]) -> None:
    """Raises: ``InputError`` where every method has its checkpoint, so that no model would have the backbone's weights.

    Weights that are one of these checkpoints say nothing else, and stand.
    """
    weights = request.weights
    if weights is None or not request.all_have_checkpoints(methods):
        return
    if os.path.realpath(weights) not in map(os.path.realpath, request.checkpoints):
        raise InputError(
            f"--weights must be of a model without a checkpoint, got {weights}, and every model has its checkpoint: "
            "leave out --weights, or the checkpoint"
        )


def check_shape(session: Session, path: str, backbone: nn.Module) -> None:
    """A published file does not tell the name of its backbone: its depth, and what lies around its blocks, do."""
    classes: int = vars(backbone)["num_classes"]
    _agree(session, path, session.backbone.name, classes, image_size(backbone))
    if _frame(backbone) != _frame(session.untrained()):
        raise InputError(
            f"checkpoint {path} is not of backbone {session.backbone.name}: give the --backbone that it was made for "
            "(dynvit ls checkpoints)"
        )


def _check_folder(session: Session, wanted: Wanted, given: str) -> None:
    config = checkpoint.read_config(given)
    if not checkpoint.is_checkpoint(given):
        raise InputError(f"checkpoint {given} has no {checkpoint.WEIGHTS}: copy the whole folder")
    if config.method.name != wanted.name:
        raise InputError(
            f"checkpoint {given} was made by method {config.method.name!r}, not {wanted.name!r}: give it as "
            f"{config.method.name}'s"
        )
    _same_options(wanted, given, config.method.options)
    info = config.backbone_info
    _agree(session, given, info.name, info.num_classes, info.image_size)
    check_same_classes(config.class_names, session.dataset, f"checkpoint {given}")


def _agree(session: Session, path: str, backbone: str, classes: int, size: tuple[int, int]) -> None:
    if classes != session.dataset.num_classes:
        raise InputError(
            f"checkpoint {path} answers with {classes} classes, {session.dataset.name} has "
            f"{session.dataset.num_classes}: give one that was trained on it, or --train"
        )
    wanted = image_size(session.untrained())
    if backbone != session.backbone.name or size != wanted:
        raise InputError(
            f"checkpoint {path} is of {backbone} at {size[0]} pixels, the bench of {session.backbone.name} at "
            f"{wanted[0]}: one front holds one backbone; give --backbone and --image-size"
        )


def _same_options(wanted: Wanted, path: str, made_with: Mapping[str, Any]) -> None:
    """A checkpoint brings its options; one that was asked for must be one of them."""
    asked = options_to_json(wanted.options)
    for text in wanted.asked:
        name = text.partition("=")[0].strip()
        if name in made_with and made_with[name] != asked[name]:
            raise InputError(
                f"checkpoint {path} was made with {wanted.name}.{name}={_as_text(made_with[name])}, not "
                f"{_as_text(asked[name])}: leave out the option, or give a checkpoint that was trained with it"
            )


def _as_text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _frame(backbone: nn.Module) -> tuple[dict[str, tuple[int, ...]], int]:
    """Shapes of all that lies outside the blocks (a method may widen those), and how many blocks there are."""
    state = backbone.state_dict()
    around = {name: tuple(tensor.shape) for name, tensor in state.items() if not name.startswith("blocks.")}
    return around, len({name.split(".")[1] for name in state if name.startswith("blocks.")})
