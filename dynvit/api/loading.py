"""From a name to a model: a folder, a published checkpoint, or a method on a backbone's weights."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dynvit.api.listing import Pattern, load_plugins, published
from dynvit.api.model import Model
from dynvit.checkpoint import is_checkpoint
from dynvit.errors import InputError, unknown
from dynvit.interface import methods
from dynvit.options import option_texts
from dynvit.request import SessionRequest
from dynvit.session import Wanted, check_weights_are_used, checkpoint_facts, open_models
from dynvit.settings import flags_of, validated


def load(
    name: str | os.PathLike[str],
    *,
    checkpoint: str | os.PathLike[str] | None = None,
    backbone: str | None = None,
    weights: str | os.PathLike[str] | None = None,
    image_size: int | None = None,
    dataset: str | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    device: str = "auto",
    plugin: Pattern = (),
    options: Mapping[str, Any] | None = None,
    **more_options: Any,
) -> Model:
    """Open a model.

    Args:
        name: a folder of ``dynvit train`` or ``Model.save``; a published checkpoint's name (``list_checkpoints``); or a
            method's (``list_methods``), with the weights that it runs on.
        checkpoint: a method's trained model: a folder, or a file in the layout of the method's authors.
        backbone: timm's name; default: the checkpoint's.
        weights: the backbone's: a file, ``hf://OWNER/REPO``, or a folder of ``dynvit train``.
        image_size: edge of the input, pixels; default: the checkpoint's, else the backbone's.
        dataset: whose classes the model answers with; default: the checkpoint's, else those of the weights' head.
        data_dir: where that data set lies; default: $DYNVIT_DATA/DATASET.
        device: auto, cpu, or an accelerator: cuda, cuda:1.
        plugin: files with methods, to load first.
        options: of the method; they may also be given by name.
        more_options: the same.

    Raises: ``InputError`` for whatever does not fit.
    """
    load_plugins(plugin)
    method, found = _resolve(str(name), checkpoint, named=weights is not None)
    asked: dict[str, Any] = {
        "dataset": dataset,
        "data_dir": _text(data_dir),
        "backbone": backbone,
        "weights": _text(weights),
        "image_size": image_size,
        "device": device,
    }
    session = open_models(_request(method, found, asked))
    wanted = Wanted.of(method, [*option_texts(options), *option_texts(more_options)], found)
    if found is not None:
        session.check(wanted)
    opened = session.open(wanted)
    opened.model.to(session.device)
    return Model(opened, session, path=found)


def _request(method: str, found: str | None, asked: Mapping[str, Any]) -> SessionRequest:
    """What to open. Published weights are ImageNet's, and their backbone is known, where nobody says otherwise."""
    values = {**asked, "method_checkpoint": {} if found is None else {method: (found,)}}
    if found is None:
        _check_weights(method, values)
    elif not Path(found).is_dir():
        backbones = {one.name: one.backbone for one in methods.get(method).published}
        values["backbone"] = asked["backbone"] or backbones.get(found)
        values["dataset"] = asked["dataset"] or "imagenet"
    request = validated(SessionRequest, values, flags_of(SessionRequest))
    check_weights_are_used(request, (method,))
    return request


def _resolve(name: str, checkpoint: str | os.PathLike[str] | None, named: bool) -> tuple[str, str | None]:
    """The method, and where its trained parts are. ``named``: a method is meant, even beside a folder of its name."""
    is_method = name in methods.names()
    if checkpoint is not None:
        if not is_method:
            raise unknown("method", name, methods.names())
        return name, str(checkpoint)
    if Path(name).is_dir() and not (is_method and (named or not is_checkpoint(name))):
        return checkpoint_facts(name).method.name, name
    if name in (known := published()):
        return known[name], name
    if is_method:
        return name, None
    if Path(name).is_file():
        raise InputError(f"{name!r} is a file: name its method too, load(METHOD, checkpoint={name!r})")
    if os.sep in name:
        raise InputError(f"no checkpoint at {name!r}: give a folder of dynvit train or of Model.save")
    raise unknown("method, published checkpoint or folder", name, [*methods.names(), *known])


def _check_weights(method: str, values: Mapping[str, Any]) -> None:
    if methods.get(method).needs_training:
        raise InputError(
            f"method {method!r} has parts that mean nothing before training: give a folder of dynvit train, or a "
            "published checkpoint's name (list_checkpoints)"
        )
    if values["weights"] is None:
        raise InputError(f"method {method!r} runs on a backbone's weights: give weights, and backbone for a file")


def _text(path: str | os.PathLike[str] | None) -> str | None:
    return None if path is None else os.fspath(path)
