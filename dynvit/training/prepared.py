"""All that a training needs, made from its request: data, model, stages, recipe."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from dynvit.backbones.adapter import family_of
from dynvit.backbones.build import BackboneInfo, BackboneSpec, build, describe, image_size
from dynvit.contract import check_model
from dynvit.data import DatasetSpec, ImageSource
from dynvit.data.transforms import Preprocessing, preprocessing_for, seeded
from dynvit.divisions import SharedRecipe, as_shared, refuse_changes, shared_for
from dynvit.errors import InputError
from dynvit.interface import DynamicModel, Method, OperatingPoint, Recipe, Stage, methods
from dynvit.options import options_from_json
from dynvit.recipe import Situation
from dynvit.recipes import ChosenRecipe, choose_recipe
from dynvit.session.dataset import backbone_for, find_dataset
from dynvit.training.further import at_point, point_at, takes_target, trains_at_a_point
from dynvit.training.images import TrainImages
from dynvit.training.request import RunSettings, TrainRequest

_NOTHING_OF_ITS_OWN = Recipe(epochs=1, batch_size=1, lr=1.0)
LEAST_BATCH, STEPS = 8, 10
"""How small a batch is made for few images, and how many steps an epoch should have."""


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
    chosen: ChosenRecipe
    recipe: Recipe
    """The one that was chosen, as this training runs it."""
    shared: SharedRecipe | None = None
    """What it shares with all of its division."""
    point: OperatingPoint | None = None
    """Where a model learns that has no training of its own."""
    changed: str = ""
    """What was changed for want of images, for people."""


def prepare(request: TrainRequest, settings: RunSettings) -> Prepared:
    """Open the data and build the model. Raises: ``InputError`` for wrong names, options, data or weights."""
    spec = find_dataset(request.dataset, settings.data_dir)
    method = methods.get(request.method)()
    backbone_spec = backbone_for(request.backbone, spec, request.weights, request.image_size, True, request.seed)
    images = TrainImages.of(request, settings)
    source, held_out = images.open(spec, "train"), images.open(spec, "calibration")
    with seeded(request.seed):
        backbone = build(backbone_spec)
        info = describe(backbone_spec, backbone)
        what = Situation(backbone_spec.name, family_of(backbone), spec.name, image_size(backbone)[0])
        shared = None if request.division is None else _shared(request, what)
        chosen = chosen_recipe(method, request, what, shared)
        recipe, changed = fitted(as_asked(chosen.recipe, request), len(source), request.batch_size is None)
        preprocessing = preprocessing_for(vars(backbone)["pretrained_cfg"], spec, image_size=request.image_size)
        options = options_from_json(method.Options, request.options)
        at_a_point = request.division is not None and trains_at_a_point(method)
        if request.target is not None and not at_a_point:
            if not takes_target(method):
                raise InputError(f"method {request.method!r} does not train for a target: leave out --target")
            options = method.options_for(request.target, backbone, options)
        model = method.attach(backbone, options)
        check_model(model, request.method)
        point = point_at(request.target, request.method, model, options) if at_a_point else None
        stages = tuple(method.stages(model, recipe)) if point is None else (at_point(recipe, point),)
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
        chosen=chosen,
        recipe=recipe,
        shared=shared,
        point=point,
        changed=changed,
    )


def chosen_recipe(
    method: Method[Any], request: TrainRequest, what: Situation, shared: SharedRecipe | None
) -> ChosenRecipe:
    """The method's recipe for a training, as its division shares it. Raises: as ``choose_recipe``."""
    if shared is None:
        return choose_recipe(request.method, method.recipes, what, request.recipe)
    own = choose_recipe(request.method, method.recipes, what).recipe if method.recipes else _NOTHING_OF_ITS_OWN
    return ChosenRecipe(
        f"{request.division}-{shared.name}", as_shared(own, shared), f"all of the {request.division} division share it"
    )


def _shared(request: TrainRequest, what: Situation) -> SharedRecipe:
    """The division's recipe, with the epochs that are asked for, which all its models then have."""
    refuse_changes({name: getattr(request, name) for name in ("recipe", "lr", "batch_size", "scale_lr")})
    shared = shared_for(what)
    return shared if request.epochs is None else replace(shared, epochs=request.epochs)


def as_asked(recipe: Recipe, request: TrainRequest) -> Recipe:
    """The recipe with the epochs, batch size and learning rate that are asked for.

    A learning rate that is asked for is that of the batch that is asked for; the recipe's is scaled on request.

    Raises: ``InputError`` where it is to be scaled and there is nothing to scale it by, or is given itself.
    """
    if request.scale_lr and (request.batch_size is None or request.lr is not None):
        lacking = "give a batch size" if request.batch_size is None else "--lr says it already: give one of the two"
        raise InputError(
            f"--scale-lr scales the recipe's learning rate with the batch size: {lacking}, or leave it out"
        )
    if request.batch_size is not None:
        size = request.batch_size
        recipe = resized(recipe, size) if request.scale_lr else replace(recipe, batch_size=size)
    asked = {"epochs": request.epochs, "lr": request.lr}
    return replace(recipe, **{field: value for field, value in asked.items() if value is not None})  # type: ignore[arg-type]


def resized(recipe: Recipe, batch_size: int) -> Recipe:
    """The recipe at another batch size, its learning rates by the linear rule (Goyal et al., 2017)."""
    share = batch_size / recipe.batch_size
    return replace(recipe, batch_size=batch_size, lr=recipe.lr * share, min_lr=recipe.min_lr * share)


def fitted(recipe: Recipe, images: int, may_shrink: bool) -> tuple[Recipe, str]:
    """The recipe on so few images that they do not fill a batch of it, and in words what was changed.

    The batch is halved until an epoch has ten steps, with the learning rate; a batch that somebody asked for stays.
    """
    views, batch = images * recipe.augment.repeats, recipe.batch_size
    if not may_shrink or batch <= views:
        return recipe, ""
    while batch % 2 == 0 and batch > LEAST_BATCH and views < STEPS * batch:
        batch //= 2
    if batch == recipe.batch_size:
        return recipe, ""
    made = resized(recipe, batch)
    return made, (
        f"a batch of {recipe.batch_size:,} is more than the {views:,} images: {batch} at a learning rate of "
        f"{made.lr:.3g} instead"
    )


def check_batch(prepared: Prepared) -> None:
    """Raises: ``InputError`` for a batch that somebody asked for and the split does not fill."""
    views, batch = len(prepared.source) * prepared.recipe.augment.repeats, prepared.recipe.batch_size
    if batch > views:
        raise InputError(
            f"a step must have at most the {views:,} images of {prepared.spec.name} {prepared.source.split}, got "
            f"{batch:,}: give a smaller --batch-size"
        )
