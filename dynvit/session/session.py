"""A session: one data set, one backbone, one counting rule; every model is opened in it and checked against it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from optuna.distributions import BaseDistribution
from torch import nn

from dynvit.backbones.build import BackboneSpec, build, pretrained_weights
from dynvit.backbones.dense import dense_macs
from dynvit.cost import rules
from dynvit.data import DatasetSpec, ImageSource, datasets, open_split
from dynvit.data.transforms import Preprocessing, preprocessing_for
from dynvit.errors import InputError
from dynvit.processes import find_device
from dynvit.request import SessionRequest
from dynvit.session.adopt import adopt
from dynvit.session.checking import check_checkpoint
from dynvit.session.dataset import backbone_for, default_backbone, find_dataset
from dynvit.session.open_model import OpenModel
from dynvit.session.opening import open_attached, open_folder, open_knobs, open_published
from dynvit.session.wanted import Wanted

PRETRAINED = "pretrained"
"""In place of weights: timm's own for the backbone's name. A folder of that name is ``./pretrained``."""


@dataclass(frozen=True)
class Session:
    """The one way in. ``request`` is complete: what checkpoints say of data and sizes has been adopted.

    ``has_data`` is False where only the classes of the data set are known, and nobody can open it.

    Units: ``dense_macs`` MACs of an image through the static backbone, at the image size that models run at, by the
    request's rule: what every saving is held against.
    """

    request: SessionRequest
    dataset: DatasetSpec
    backbone: BackboneSpec
    dense_macs: int
    has_data: bool = True

    @property
    def data_seed(self) -> int:
        """What draws the splits, and every choice of images."""
        return self.request.data_seed or 0

    @property
    def dense_gmacs(self) -> float:
        """Units: GMACs an image."""
        return self.dense_macs / 1e9

    @property
    def place(self) -> tuple[str, str | None]:
        """Name and folder by which the data set is opened again: a path as it was typed is no name."""
        spec = self.dataset
        if spec.folder is None:
            return spec.name, self.request.data_dir
        return (spec.folder, None) if spec.name in datasets.names() else (spec.name, spec.folder)

    @property
    def device(self) -> torch.device:
        """The device that is asked for. Raises: ``InputError`` where it is not there."""
        return find_device(self.request.device)

    def split(self, name: str | None = None, limit: int | None = None, *, quiet: bool = False) -> ImageSource:
        """Images of a split, the reported one where none is named.

        Raises: as ``open_split``, and ``InputError`` for an empty split.
        """
        request = self.request
        if not self.has_data:
            what = f"data set {self.dataset.name!r} is not known here" if self.dataset.name else "no data set is named"
            raise InputError(f"{what}: give dataset, one of {', '.join(datasets.names())}")
        wanted = request.split if name is None else name
        source = open_split(
            self.dataset,
            wanted,
            data_dir=request.data_dir,
            seed=self.data_seed,
            calibration=request.calibration,
            on_bad_sample=request.on_bad_sample,
            limit=limit,
            quiet=quiet,
        )
        if len(source) == 0:
            raise InputError(f"split {wanted!r} of {self.dataset.name} has no sample: pack or fetch it again")
        return source

    def preprocessing(self, backbone: nn.Module) -> Preprocessing:
        """How images become this backbone's input. Raises: ``InputError`` for what cannot be."""
        made = preprocessing_for(vars(backbone)["pretrained_cfg"], self.dataset, image_size=self.request.image_size)
        return self.as_asked(made)

    def on(self, dataset: DatasetSpec, request: SessionRequest) -> Session:
        """The same models on another data set. Its splits are drawn as the checkpoints say that have learned from it,
        else by default: those of this session are a matter of this session's data set.
        """
        adopted = adopt(request.completed(data_seed=None, calibration=None))
        complete = adopted.completed(data_seed=adopted.data_seed or 0)
        return replace(self, request=complete, dataset=dataset, has_data=True)

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
        if Path(wanted.checkpoint).is_dir():
            return open_folder(self, wanted, wanted.checkpoint, trained_in)
        return open_published(self, wanted, wanted.checkpoint)

    def attach(
        self, wanted: Wanted, backbone: BackboneSpec, trained_in: Path | None = None, seed: int | None = None
    ) -> OpenModel:
        """The method on a backbone as it is. ``seed`` is that of the backbone's training, where a bench trained it."""
        return open_attached(self, wanted, backbone, trained_in, seed)

    def knobs(self, wanted: Wanted) -> Mapping[str, BaseDistribution]:
        """What a point of the model sets, by what its checkpoint says of its options; no weight is read."""
        return open_knobs(self, wanted)

    def check(self, wanted: Wanted) -> None:
        """Check a checkpoint before it is opened; a published one is fetched only then.

        Raises: ``InputError`` where there is none, or where it is of another method, backbone, size or class count.
        """
        check_checkpoint(self, wanted)

    def as_asked(self, preprocessing: Preprocessing) -> Preprocessing:
        """The same for every model where the request says how images are cut."""
        return replace(
            preprocessing,
            crop_pct=self.request.crop_pct or preprocessing.crop_pct,
            interpolation=self.request.interpolation or preprocessing.interpolation,
        )


def open_session(request: SessionRequest, classes: DatasetSpec | None = None) -> Session:
    """Find the data set and the backbone, and what both are held against. No image and no weight is read.

    ``classes`` stand for a data set that is not known here: models can be opened, no image can.
    Raises: ``InputError`` for an unknown name, a checkpoint that disagrees, a size that cannot be.
    """
    rules.get(request.rule)
    pretrained = request.weights == PRETRAINED
    request = adopt(request.completed(weights=None) if pretrained else request)
    find_device(request.device)
    dataset = classes or find_dataset(request.dataset or "digits", request.data_dir)
    name = request.backbone or default_backbone(dataset)
    if pretrained:
        request = request.completed(weights=_pretrained(name))
    backbone = backbone_for(name, dataset, request.weights, request.image_size, seed=request.seed)
    dense = dense_macs(build(replace(backbone, weights=None)), request.rule)
    complete = request.completed(
        dataset=request.dataset or dataset.name, backbone=name, data_seed=request.data_seed or 0
    )
    return Session(complete, dataset, backbone, dense, has_data=classes is None)


def _pretrained(name: str) -> str:
    weights = pretrained_weights(name)
    if weights is None:
        raise InputError(f"timm has no weights of its own for {name}: give --weights FILE, or train it from scratch")
    return weights
