"""The images that a training learns from: opened once, however many trainings share them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from dynvit.data import DatasetSpec, ImageSource, open_split
from dynvit.data.opening import is_here
from dynvit.data.source import OnBadSample
from dynvit.errors import InputError
from dynvit.session.dataset import find_dataset
from dynvit.training.request import RunSettings, TrainRequest


@dataclass(frozen=True)
class TrainImages:
    """The images that a training learns from, or several: opened when they are asked for, and once."""

    dataset: str
    data_dir: str | None
    data_seed: int
    calibration: int | None
    limit: int | None
    on_bad_sample: OnBadSample

    @classmethod
    def of(cls, request: TrainRequest, settings: RunSettings) -> TrainImages:
        """Those of a request."""
        drawn = request.data_seed, request.calibration, request.limit_train
        return cls(request.dataset, settings.data_dir, *drawn, settings.on_bad_sample)

    @cached_property
    def manifest_sha256(self) -> str | None:
        """None where they are not on this machine: a finished training needs them no more."""
        try:
            spec = find_dataset(self.dataset, self.data_dir)
            return self.open(spec, "train", quiet=True).manifest.sha256 if is_here(spec, self.data_dir) else None
        except InputError:
            return None

    def open(self, spec: DatasetSpec, split: str, *, quiet: bool = False) -> ImageSource:
        """``train``, or ``calibration``, which is held out of it. Raises: as ``open_split``."""
        return open_split(
            spec,
            split,
            data_dir=self.data_dir,
            seed=self.data_seed,
            calibration=self.calibration,
            on_bad_sample=self.on_bad_sample,
            limit=self.limit if split == "train" else None,
            quiet=quiet,
        )
