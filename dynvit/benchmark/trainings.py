"""The trainings of a bench: by the recipe that fits, with the options that the bench was given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dynvit.backbones.adapter import family_of
from dynvit.backbones.build import BackboneSpec, image_size
from dynvit.benchmark.config import BenchConfig
from dynvit.benchmark.waiting import train_or_wait
from dynvit.interface import methods
from dynvit.recipe import Situation
from dynvit.recipes import ChosenRecipe, choose_recipe
from dynvit.session import Session
from dynvit.training.forecast import Forecast, forecast
from dynvit.training.images import TrainImages
from dynvit.training.request import RunOptions, RunSettings, TrainingOptions, TrainRequest
from dynvit.training.run import train_to


@dataclass(frozen=True)
class Trainings:
    """Trains methods on one backbone, from the weights that it names, and all on the same images."""

    config: BenchConfig
    session: Session
    backbone: BackboneSpec
    images: TrainImages

    def train(
        self,
        folder: Path,
        command: str,
        name: str,
        options: Mapping[str, Any] = {},
        target: float | None = None,
        seed: int | None = None,
    ) -> Path:
        """Train into a folder, or go on with what a killed run began there; one who trains there is waited for.

        Args:
            folder: of the checkpoint.
            command: what was typed.
            name: the method's.
            options: the method's.
            target: a fraction of dense MACs, for methods that train for one.
            seed: of the training; None: the bench's.

        Returns: the folder.
        """
        request, settings = self._request(name, options, target, seed), self._settings(command)
        return train_or_wait(folder, lambda: train_to(folder, request, settings, self.images))

    @property
    def of_start(self) -> Trainings:
        """The training of the backbone that all others begin from, by its own recipe.

        A division says how models are trained further, and not what they begin from.
        """
        if self.config.division is None:
            return self
        return replace(self, config=self.config.model_copy(update={"division": None, "epochs": None}))

    def forecast(self, name: str, options: Mapping[str, Any] = {}, target: float | None = None) -> Forecast:
        """What a training would do and take, by a few steps of it; nothing is written."""
        made = forecast(self._request(name, options, target), self._settings(""))
        return made if self.config.division else replace(made, chosen=self.recipe(name))

    def recipe(self, name: str) -> ChosenRecipe:
        """The recipe that a method is trained by here: the one that is asked for where it has it, else what fits.

        Raises: ``InputError`` where none or several fit.
        """
        recipes, bare = methods.get(name).recipes, self.session.untrained()
        what = Situation(self.backbone.name, family_of(bare), self.session.dataset.name, image_size(bare)[0])
        return choose_recipe(name, recipes, what, self.config.recipe if self.config.recipe in recipes else None)

    def _request(
        self, name: str, options: Mapping[str, Any], target: float | None, seed: int | None = None
    ) -> TrainRequest:
        config = self.config
        shared = {field: getattr(config, field) for field in TrainingOptions.model_fields}
        asked = {
            "recipe": None if config.division else self.recipe(name).name,
            "batch_size": config.train_batch_size,
            "mixed_precision": None if config.mixed_precision == "no" else config.mixed_precision,
        }
        return TrainRequest(
            **shared | asked,
            method=name,
            backbone=self.backbone.name,
            dataset=self.images.dataset,
            options=dict(options),
            weights=self.backbone.weights,
            image_size=self.session.request.image_size,
            target=target,
            seed=config.seed if seed is None else seed,
            data_seed=self.images.data_seed,
            calibration=self.images.calibration,
        )

    def _settings(self, command: str) -> RunSettings:
        config = self.config
        shared = {field: getattr(config, field) for field in RunOptions.model_fields}
        return RunSettings(
            **shared,
            data_dir=self.images.data_dir,
            on_bad_sample=self.images.on_bad_sample,
            workers=config.workers,
            command=command,
        )
