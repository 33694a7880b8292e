"""A model that is open: ready to be measured, and what its records say of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from optuna.distributions import BaseDistribution

from dynvit.backbones.build import BackboneInfo
from dynvit.checkpoint import CheckpointConfig
from dynvit.data.transforms import Preprocessing
from dynvit.interface import Augment, DynamicModel, Method, OperatingPoint, methods
from dynvit.knobs import knobs_of
from dynvit.leaderboard.record import BackboneRecord, CheckpointRecord, MethodRecord, PreprocessingRecord
from dynvit.leaderboard.training import TrainingRecord
from dynvit.options import options_to_json


@dataclass(frozen=True)
class OpenModel:
    """One model, ready to be measured, and what its records say of it.

    ``label`` is for people: the method's name, with the target where there are several checkpoints. ``config`` is the
    checkpoint's own, where it is a folder of ours. ``kept_point`` is the one that it was saved or published with.
    """

    label: str
    name: str
    method: Method[Any]
    options: Any
    model: DynamicModel
    backbone: BackboneInfo
    preprocessing: Preprocessing
    class_names: tuple[str, ...] = ()
    checkpoint: CheckpointRecord | None = None
    training_seed: int | None = None
    config: CheckpointConfig | None = None
    kept_point: OperatingPoint | None = None
    knobs: Mapping[str, BaseDistribution] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "knobs", knobs_of(self.method, self.options, lambda: self.model.backbone))

    @property
    def is_published(self) -> bool:
        """Whether it is its authors' own checkpoint, which may have learned every image of the training split."""
        return self.checkpoint is not None and self.config is None

    @property
    def trained_point(self) -> OperatingPoint | None:
        """The point that its training aimed at; None where nothing was trained but the backbone.

        A method that has no training of its own learns at the point that its checkpoint is kept at.
        """
        if self.config is not None and self.config.training is not None:
            return self.model.trained_point if self.method.recipes else self.kept_point
        return self.model.trained_point if self.is_published or self.method.needs_training else None

    @property
    def calibration_augment(self) -> Augment | None:
        """How calibration images are changed for a model that may have learned them; None: not at all."""
        return self.method.published_augment if self.is_published else None

    @property
    def supports(self) -> frozenset[str]:
        """What the model can do beyond ``forward`` and ``predict``, as it and its method declare."""
        explains: frozenset[str] = frozenset({"explanations"} if self.method.explains else ())
        return explains | self.model.supports

    def class_name(self, label: int) -> str:
        """The class as people say it; its number where nobody named it."""
        return self.class_names[label] if label < len(self.class_names) else f"class {label}"

    def method_record(self) -> MethodRecord:
        """The method, and the package that it came from."""
        origin = methods.origins(self.name)[0]
        return MethodRecord(
            name=self.name,
            options=options_to_json(self.options),
            # A one-file plug-in's path is its author's business; its name and hash are the record's.
            distribution=os.path.basename(origin.distribution),
            version=origin.version,
        )

    def backbone_record(self) -> BackboneRecord:
        """The static model under it."""
        info = self.backbone
        return BackboneRecord(
            name=info.name,
            weights_uri=info.weights_uri,
            weights_sha256=info.weights_sha256,
            image_size=info.image_size,
            num_classes=info.num_classes,
            params=info.params,
        )

    def training_record(self) -> TrainingRecord:
        """How its weights came about, as far as its checkpoint says."""
        if self.config is None or self.config.training is None:
            return TrainingRecord(division="free" if self.checkpoint else "off-the-shelf")
        trained = self.config.training
        return TrainingRecord(
            division=trained.division or "free",
            recipe=trained.recipe_name,
            recipe_sha256=trained.recipe_sha256,
            target=self.config.target,
            epochs=trained.images_seen and trained.images_seen / trained.train_samples,
            images_seen=trained.images_seen,
            images_seen_unlabelled=trained.images_seen_unlabelled,
            training_gmacs=trained.training_gmacs,
            start_sha256=trained.start_sha256,
            seed=trained.seed,
            data_seed=self.config.data_seed,
            wall_s=trained.wall_s,
        )

    def preprocessing_record(self) -> PreprocessingRecord:
        """How images become inputs."""
        given = self.preprocessing
        return PreprocessingRecord(
            image_size=(given.image_size, given.image_size),
            crop_pct=given.crop_pct,
            crop_mode=None if given.crop_mode == "center" else given.crop_mode,
            interpolation=given.interpolation,
            mean=given.mean,
            std=given.std,
        )
