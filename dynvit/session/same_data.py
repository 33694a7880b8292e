"""Whether a data set is the one that a checkpoint was trained on, by whatever name or path it is opened."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from dynvit.checkpoint import CheckpointConfig
from dynvit.data.datasets import DatasetSpec
from dynvit.data.locate import locate
from dynvit.errors import InputError
from dynvit.session.dataset import find_dataset


@dataclass(frozen=True)
class SameData:
    """The data set that is opened: ``dataset`` is its name or a folder, None where only classes are known."""

    dataset: str | None
    data_dir: str | None

    def seen_by(self, config: CheckpointConfig) -> bool:
        """Whether the checkpoint may have learned from its images.

        A folder may be renamed or linked, so another name with the same classes counts: the data seed of a checkpoint
        does no harm elsewhere, and another one would measure on what it has learned.
        """
        if self._is_named(config.dataset):
            return True
        spec = self._spec if config.dataset else None
        return spec is not None and (spec.num_classes, spec.class_names) == (
            config.backbone_info.num_classes,
            config.class_names,
        )

    def holds_out(self, config: CheckpointConfig) -> bool:
        """Whether as many samples can be held out here as in the checkpoint's training."""
        train = None if self._is_named(config.dataset) else self._train_samples
        return self.seen_by(config) and (train is None or config.calibration is None or config.calibration < train)

    def _is_named(self, name: str) -> bool:
        """A folder that is a data set is known by its name."""
        given = self.dataset
        if given is not None and Path(given).is_dir():
            given = Path(os.path.abspath(given)).name
        return given == name

    @cached_property
    def _spec(self) -> DatasetSpec | None:
        try:
            return find_dataset(self.dataset, self.data_dir) if self.dataset else None
        except InputError:
            return None  # said where it is opened

    @cached_property
    def _train_samples(self) -> int | None:
        if self._spec is None:
            return None
        try:
            location = locate(self._spec.name, self._spec.folder if self.data_dir is None else self.data_dir)
        except InputError:
            return None
        return location.splits["train"].num_samples if "train" in location.splits else None
