"""All that a training needs, made from its request: data, model, stages, recipe."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from dynvit.backbones.build import BackboneInfo, BackboneSpec, build, describe
from dynvit.contract import check_model
from dynvit.data import DatasetSpec, ImageSource, open_split
from dynvit.data.transforms import Preprocessing, preprocessing_for, seeded
from dynvit.errors import InputError, unknown
from dynvit.interface import DynamicModel, Method, Recipe, Stage, methods
from dynvit.options import options_from_json
from dynvit.session.dataset import backbone_for, find_dataset
from dynvit.training.request import RunSettings, TrainRequest


@dataclass(frozen=True)
class Prepared:
    """A training that is ready to run. ``held_out`` is the calibration split."""

    spec: DatasetSpec
    source: ImageSource
    held_out: ImageSource
    backbone: BackboneSpec
    info: BackboneInfo
    preprocessing: Preprocessing
    options: Any
    model: DynamicModel
    stages: tuple[Stage, ...]
    recipe_name: str
    recipe: Recipe


def prepare(request: TrainRequest, settings: RunSettings) -> Prepared:
    """Open the data and build the model. Raises: ``InputError`` for wrong names, options, data or weights."""
    spec = find_dataset(request.dataset, settings.data_dir)
    method = methods.get(request.method)()
    recipe_name, recipe = _recipe(method, request)
    backbone_spec = backbone_for(request.backbone, spec, request.weights, request.image_size, True, request.seed)
    source = _open(request, spec, settings, "train", request.limit_train)
    held_out = _open(request, spec, settings, "calibration", None)
    with seeded(request.seed):
        backbone = build(backbone_spec)
        info = describe(backbone_spec, backbone)
        preprocessing = preprocessing_for(vars(backbone)["pretrained_cfg"], spec, image_size=request.image_size)
        options = options_from_json(method.Options, request.options)
        if request.target is not None:
            options = method.options_for(request.target, backbone, options)
        model = method.attach(backbone, options)
        check_model(model, request.method)
        stages = tuple(method.stages(model, recipe))
    return Prepared(
        spec=spec,
        source=source,
        held_out=held_out,
        backbone=backbone_spec,
        info=info,
        preprocessing=preprocessing,
        options=options,
        model=model,
        stages=stages,
        recipe_name=recipe_name,
        recipe=recipe,
    )


def _recipe(method: Method[Any], request: TrainRequest) -> tuple[str, Recipe]:
    recipes = method.recipes
    if not recipes:
        raise InputError(f"method {request.method} has no recipe, for it has nothing to train")
    name = request.recipe or (request.dataset if request.dataset in recipes else next(iter(recipes)))
    if name not in recipes:
        raise unknown(f"recipe of {request.method}", name, recipes)
    asked = {"epochs": request.epochs, "batch_size": request.batch_size, "lr": request.lr}
    given = {field: value for field, value in asked.items() if value is not None}
    return name, dataclasses.replace(recipes[name], **given)  # type: ignore[arg-type]


def _open(
    request: TrainRequest, spec: DatasetSpec, settings: RunSettings, split: str, limit: int | None
) -> ImageSource:
    return open_split(
        spec,
        split,
        data_dir=settings.data_dir,
        seed=request.data_seed,
        calibration=request.calibration,
        on_bad_sample=settings.on_bad_sample,
        limit=limit,
    )
