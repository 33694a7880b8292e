"""From a wanted model to an open one: from a folder, from a published file, or on a backbone as it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optuna.distributions import BaseDistribution

from dynvit import checkpoint
from dynvit.backbones.build import BackboneInfo, BackboneSpec, build, describe
from dynvit.contract import check_model
from dynvit.files import sha256_of
from dynvit.knobs import knobs_of, point_of
from dynvit.leaderboard.record import CheckpointRecord
from dynvit.options import options_from_json
from dynvit.plugin_faults import plugin_faults
from dynvit.published import fetch, find
from dynvit.session.checking import check_shape, check_weights
from dynvit.session.open_model import OpenModel
from dynvit.session.wanted import Wanted

if TYPE_CHECKING:
    from dynvit.session.session import Session


@plugin_faults()
def open_folder(session: Session, wanted: Wanted, path: str, trained_in: Path | None) -> OpenModel:
    """A checkpoint of ours. Raises: ``InputError`` for one that is damaged."""
    model, config = checkpoint.load(path)
    info = config.backbone_info
    options = options_from_json(wanted.method.Options, config.method.options)
    knobs = knobs_of(wanted.method, options, lambda: model.backbone)
    return OpenModel(
        label=wanted.label,
        name=wanted.name,
        method=wanted.method,
        options=options,
        model=model,
        backbone=_recorded(info, trained_in),
        preprocessing=session.as_asked(config.preprocessing),
        class_names=config.class_names,
        checkpoint=CheckpointRecord(uri=_uri_of(path, trained_in), sha256=config.weights_sha256),
        training_seed=config.training.seed if config.training else None,
        config=config,
        kept_point=None if config.point is None else point_of(knobs, config.point),
    )


@plugin_faults()
def open_attached(
    session: Session, wanted: Wanted, backbone: BackboneSpec, trained_in: Path | None, seed: int | None
) -> OpenModel:
    """The method on a backbone.

    Args:
        session: what it is opened in.
        wanted: the method with its options.
        backbone: with weights, or without any.
        trained_in: a bench's training folder; what lies in it is named by its place there.
        seed: of the backbone's training, where a bench trained it.

    Raises: ``InputError`` for a backbone that the method does not take, and weights that do not fit.
    """
    check_weights(session, backbone.weights)
    built = build(backbone)
    info = describe(backbone, built)
    model = wanted.method.attach(built, wanted.options)
    check_model(model, wanted.name)
    return OpenModel(
        label=wanted.label,
        name=wanted.name,
        method=wanted.method,
        options=wanted.options,
        model=model.eval(),
        backbone=_recorded(info, trained_in),
        preprocessing=session.preprocessing(built),
        class_names=session.dataset.class_names,
        training_seed=seed,
    )


@plugin_faults()
def open_published(session: Session, wanted: Wanted, given: str) -> OpenModel:
    """A file in the layout of the method's authors, by path or by name, fetched where it is not here."""
    file = Path(given) if Path(given).exists() else fetch(find(wanted.method, given))
    model, point = wanted.method.load_published(str(file))
    backbone = model.backbone
    drawn = describe(replace(session.backbone, weights=None), backbone)
    info = replace(drawn, weights_uri=_uri_of(given, None), weights_sha256=sha256_of(file))
    check_shape(session, given, backbone)
    return OpenModel(
        label=wanted.label,
        name=wanted.name,
        method=wanted.method,
        options=getattr(model, "options", wanted.options),
        model=model.eval(),
        backbone=info,
        preprocessing=session.preprocessing(backbone),
        class_names=session.dataset.class_names,
        checkpoint=CheckpointRecord(uri=_uri_of(given, None), sha256=info.weights_sha256 or ""),
        kept_point=point,
    )


def open_knobs(session: Session, wanted: Wanted) -> Mapping[str, BaseDistribution]:
    """What a point of the wanted model sets; no weight is read."""
    return knobs_of(wanted.method, options_of(wanted), session.untrained)


def options_of(wanted: Wanted) -> Any:
    """The model's options: those of its checkpoint, where that is a folder of ours."""
    if wanted.checkpoint is None or not Path(wanted.checkpoint).is_dir():
        return wanted.options
    made_with = checkpoint.read_config(wanted.checkpoint).method.options
    return options_from_json(wanted.method.Options, made_with)


def _uri_of(given: str, training: Path | None) -> str:
    """What a record calls a file: what this bench trained, by its place in the output folder, wherever that lies.

    What lies elsewhere on this machine goes by its name: its hash tells which it was.

    >>> _uri_of("/home/ada/runs/start", None), _uri_of("runs/start", None), _uri_of("hf://timm/deit_tiny", None)
    ('start', 'runs/start', 'hf://timm/deit_tiny')
    >>> _uri_of("/out/train/dense", Path("/out/train"))
    'train/dense'
    """
    path = Path(given)
    if "://" in given:
        return given
    if training is not None and path.is_relative_to(training):
        return path.relative_to(training.parent).as_posix()
    return path.name if path.is_absolute() else given


def _recorded(info: BackboneInfo, training: Path | None) -> BackboneInfo:
    uri = info.weights_uri
    return info if uri is None else replace(info, weights_uri=_uri_of(uri, training))
