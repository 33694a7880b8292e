"""A session: one data set, one backbone, one counting rule; every model is opened in it and checked against it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from optuna.distributions import BaseDistribution
from torch import nn

from dynvit import checkpoint
from dynvit.backbones.build import BackboneSpec, build, describe, image_size
from dynvit.backbones.dense import dense_macs
from dynvit.backbones.weights import sha256_of
from dynvit.cost import rules
from dynvit.data import ImageSource, open_split
from dynvit.data.datasets import DatasetSpec
from dynvit.data.transforms import Preprocessing, preprocessing_for
from dynvit.errors import InputError
from dynvit.interface import Method, methods
from dynvit.leaderboard.record import CheckpointRecord
from dynvit.options import options_from_json, options_to_json, parse_options
from dynvit.processes import find_device
from dynvit.published import fetch, find
from dynvit.request import SessionRequest
from dynvit.session.adopt import adopt
from dynvit.session.dataset import backbone_for, default_backbone, find_dataset
from dynvit.session.open_model import OpenModel


@dataclass(frozen=True)
class Wanted:
    """A model that is not open yet: a method with its options, and where its trained parts are, if anywhere."""

    name: str
    method: Method[Any]
    options: Any
    asked: tuple[str, ...] = ()
    checkpoint: str | None = None
    label: str = ""

    @classmethod
    def of(cls, name: str, asked: Sequence[str] = (), checkpoint: str | None = None, label: str = "") -> Wanted:
        """Raises: ``InputError`` for an unknown method, or an option that it does not take."""
        kind = methods.get(name)
        return cls(name, kind(), parse_options(kind.Options, asked), tuple(asked), checkpoint, label or name)


@dataclass(frozen=True)
class Session:
    """The one way in. ``request`` is complete: what checkpoints say of data and sizes has been adopted.

    Units: ``dense_macs`` MACs of an image through the static backbone, at the image size that models run at, by the
    request's rule: what every saving is held against.
    """

    request: SessionRequest
    dataset: DatasetSpec
    backbone: BackboneSpec
    dense_macs: int

    @property
    def data_seed(self) -> int:
        """What draws the splits, and every choice of images."""
        return self.request.data_seed or 0

    @property
    def dense_gmacs(self) -> float:
        """Units: GMACs an image."""
        return self.dense_macs / 1e9

    @property
    def device(self) -> torch.device:
        """The device that is asked for. Raises: ``InputError`` where it is not there."""
        return find_device(self.request.device)

    def split(self, name: str | None = None, limit: int | None = None, *, quiet: bool = False) -> ImageSource:
        """Images of a split, the reported one where none is named. Raises: as ``open_split``."""
        request = self.request
        return open_split(
            self.dataset,
            request.split if name is None else name,
            data_dir=request.data_dir,
            seed=self.data_seed,
            calibration=request.calibration,
            on_bad_sample=request.on_bad_sample,
            limit=limit,
            quiet=quiet,
        )

    def preprocessing(self, backbone: nn.Module) -> Preprocessing:
        """How images become this backbone's input. Raises: ``InputError`` for what cannot be."""
        made = preprocessing_for(vars(backbone)["pretrained_cfg"], self.dataset, image_size=self.request.image_size)
        return self._as_asked(made)

    def untrained(self) -> nn.Module:
        """The backbone with weights as they are drawn: its structure, for what does not depend on weights."""
        return build(replace(self.backbone, weights=None))

    def open(self, wanted: Wanted, trained_in: Path | None = None) -> OpenModel:
        """Open a model on the CPU, in eval mode: from its checkpoint, else on the backbone's weights.

        ``trained_in`` is a bench's training folder: what lies in it is named by its place there.
        Raises: ``InputError`` for whatever does not fit.
        """
        if wanted.checkpoint is None:
            return self.attach(wanted, self.backbone, trained_in)
        if not Path(wanted.checkpoint).is_dir():
            return self._open_published(wanted, wanted.checkpoint)
        model, config = checkpoint.load(wanted.checkpoint)
        info = config.backbone_info
        return OpenModel(
            label=wanted.label,
            name=wanted.name,
            method=wanted.method,
            options=options_from_json(wanted.method.Options, config.method.options),
            model=model,
            backbone=replace(info, weights_uri=_within(info.weights_uri, trained_in)),
            preprocessing=self._as_asked(config.preprocessing),
            class_names=config.class_names,
            checkpoint=CheckpointRecord(
                uri=_within(wanted.checkpoint, trained_in) or wanted.checkpoint, sha256=config.weights_sha256
            ),
            training_seed=config.training.seed if config.training else None,
            config=config,
        )

    def knobs(self, wanted: Wanted) -> Mapping[str, BaseDistribution]:
        """What a point of the model sets, by what its checkpoint says of its options; no weight is read."""
        options = wanted.options
        if wanted.checkpoint is not None and Path(wanted.checkpoint).is_dir():
            made_with = checkpoint.read_config(wanted.checkpoint).method.options
            options = options_from_json(wanted.method.Options, made_with)
        return wanted.method.knobs(options)

    def attach(
        self, wanted: Wanted, backbone: BackboneSpec, trained_in: Path | None = None, seed: int | None = None
    ) -> OpenModel:
        """The method on a backbone as it is. ``seed`` is that of the backbone's training, where a bench trained it."""
        built = build(backbone)
        info = describe(backbone, built)
        return OpenModel(
            label=wanted.label,
            name=wanted.name,
            method=wanted.method,
            options=wanted.options,
            model=wanted.method.attach(built, wanted.options).eval(),
            backbone=replace(info, weights_uri=_within(info.weights_uri, trained_in)),
            preprocessing=self.preprocessing(built),
            class_names=self.dataset.class_names,
            training_seed=seed,
        )

    def check(self, wanted: Wanted) -> None:
        """Check a folder of ours, a file in the published layout, or a published name (fetched only when opened).

        Raises: ``InputError`` where there is none, or where it is of another method, backbone, size or class count.
        """
        given = wanted.checkpoint
        assert given is not None
        path = Path(given)
        if path.is_dir():
            self._check_folder(wanted, given)
        elif path.is_file():
            model, _ = wanted.method.load_published(given)
            self._same_shape(given, model.backbone)
            _same_options(wanted, given, options_to_json(getattr(model, "options", wanted.options)))
        elif given not in [published.name for published in wanted.method.published]:
            if "/" in given or path.suffix in (".pth", ".pt", ".tar", ".safetensors"):
                raise InputError(
                    f"no checkpoint at {given!r}: give a folder of dynvit train, a published file or its name"
                )
            find(wanted.method, given)

    def _check_folder(self, wanted: Wanted, given: str) -> None:
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
        self._agree(given, info.name, info.num_classes, info.image_size)

    def _open_published(self, wanted: Wanted, given: str) -> OpenModel:
        file = Path(given) if Path(given).exists() else fetch(find(wanted.method, given))
        model, _ = wanted.method.load_published(str(file))
        backbone = model.backbone
        info = replace(
            describe(replace(self.backbone, weights=None), backbone), weights_uri=given, weights_sha256=sha256_of(file)
        )
        self._same_shape(given, backbone)
        return OpenModel(
            label=wanted.label,
            name=wanted.name,
            method=wanted.method,
            options=getattr(model, "options", wanted.options),
            model=model.eval(),
            backbone=info,
            preprocessing=self.preprocessing(backbone),
            class_names=self.dataset.class_names,
            checkpoint=CheckpointRecord(uri=given, sha256=info.weights_sha256 or ""),
        )

    def _as_asked(self, preprocessing: Preprocessing) -> Preprocessing:
        """The same for every model where the request says how images are cut."""
        return replace(
            preprocessing,
            crop_pct=self.request.crop_pct or preprocessing.crop_pct,
            interpolation=self.request.interpolation or preprocessing.interpolation,
        )

    def _same_shape(self, path: str, backbone: nn.Module) -> None:
        """A published file does not tell the name of its backbone: its depth, and what lies around its blocks, do."""
        classes: int = vars(backbone)["num_classes"]
        self._agree(path, self.backbone.name, classes, image_size(backbone))
        if _frame(backbone) != _frame(self.untrained()):
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
        wanted = image_size(self.untrained())
        if backbone != self.backbone.name or size != wanted:
            raise InputError(
                f"checkpoint {path} is of {backbone} at {size[0]} pixels, the bench of {self.backbone.name} at "
                f"{wanted[0]}: one front holds one backbone; give --backbone and --image-size"
            )


def open_session(request: SessionRequest) -> Session:
    """Find the data set and the backbone, and what both are held against. No image and no weight is read.

    Raises: ``InputError`` for an unknown name, a checkpoint that disagrees, a size that cannot be.
    """
    rules.get(request.rule)
    request = adopt(request)
    find_device(request.device)
    dataset = find_dataset(request.dataset or "digits", request.data_dir)
    name = request.backbone or default_backbone(dataset)
    backbone = backbone_for(name, dataset, request.weights, request.image_size, seed=request.seed)
    dense = dense_macs(build(replace(backbone, weights=None)), request.rule)
    complete = request.completed(
        dataset=request.dataset or dataset.name, backbone=name, data_seed=request.data_seed or 0
    )
    return Session(complete, dataset, backbone, dense)


def checkpoint_facts(path: str | os.PathLike[str]) -> checkpoint.CheckpointConfig:
    """What a folder of ``dynvit train`` says of itself. Raises: as ``dynvit.checkpoint.read_config``."""
    return checkpoint.read_config(path)


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


def _within(uri: str | None, training: Path | None) -> str | None:
    """What this bench trained is named by its place in the output folder, wherever that lies."""
    if uri is None or training is None or not Path(uri).is_relative_to(training):
        return uri
    return Path(uri).relative_to(training.parent).as_posix()
