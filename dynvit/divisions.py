"""Divisions: what may have been trained on top of the backbone, and the one training that fine-tuned models share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from dynvit.errors import InputError
from dynvit.recipe import Augment, Recipe, Scope, Situation, numbers_sha256
from dynvit.recipes import CIFAR


@dataclass(frozen=True)
class SharedRecipe:
    """What every model of the fine-tuned division has in common on a data set, dense among them.

    All start from the same weights and see each image as often, cut and mirrored alike, with labels smoothed alike; no
    labels are mixed, no blocks dropped by chance, no weights averaged, and nothing is distilled but where that is the
    method itself. A method keeps its losses, its stages within these epochs, and the learning rates of what it adds; a
    stage of it that looks at no labels comes on top, and is counted.

    Units: ``backbone_lr`` at ``batch_size`` images a step; ``warmup_epochs`` of a stage.
    """

    name: str
    epochs: int
    batch_size: int
    backbone_lr: float
    augment: Augment
    scope: Scope
    weight_decay: float = 0.05
    warmup_epochs: float = 0.1
    min_lr: float = 1e-6
    source: str = ""

    @property
    def sha256(self) -> str:
        """A hash of the numbers, equal for all that were trained by them."""
        return numbers_sha256(self)


# A random resized crop has no black border, as a padded one has: a border costs a model that skips nothing, and a cost
# that is controlled on bordered images is too low on whole ones.
_MILD = Augment(flip=0.5, crop_scale=0.6, smoothing=0.1)

SHARED: tuple[SharedRecipe, ...] = (
    SharedRecipe(
        "digits",
        epochs=20,
        batch_size=64,
        backbone_lr=1e-3,
        warmup_epochs=1.0,
        augment=Augment(flip=0.0, padding=1, smoothing=0.1),
        scope=Scope(datasets=("digits",)),
        source="ours: seconds on two cores",
    ),
    SharedRecipe(
        "cifar",
        epochs=3,
        batch_size=64,
        backbone_lr=1e-4,
        augment=_MILD,
        scope=Scope(datasets=CIFAR),
        source="ours: from a DeiT fine-tuned at a small resolution, minutes a model on one core",
    ),
    SharedRecipe(
        "imagenette",
        epochs=3,
        batch_size=64,
        backbone_lr=5e-5,
        augment=_MILD,
        scope=Scope(datasets=("imagenette",)),
        source="ours: from a DeiT fine-tuned for an epoch, half an hour a model on one core",
    ),
    SharedRecipe(
        "any",
        epochs=30,
        batch_size=1024,
        backbone_lr=1e-5,
        warmup_epochs=1.0,
        augment=replace(_MILD, crop_scale=0.08),
        scope=Scope(),
        source="ours: DynamicViT's epochs, batch and rate of a trained backbone (arXiv 2106.02034, §4.1), for all",
    ),
)


def shared_for(what: Situation) -> SharedRecipe:
    """The shared recipe of a data set: its own, else the general one."""
    return next(shared for shared in SHARED if shared.scope.fits(what))


def as_shared(recipe: Recipe, shared: SharedRecipe) -> Recipe:
    """A method's recipe with all that the division shares in place of its own."""
    common = {field: getattr(shared, field) for field in _COMMON}
    return replace(recipe, **common, ema_decay=0.0, clip_grad=0.0, drop_path=0.0).with_backbone_lr(shared.backbone_lr)


_COMMON = ("epochs", "batch_size", "augment", "weight_decay", "warmup_epochs", "min_lr")


def refuse_changes(asked: Mapping[str, object]) -> None:
    """Raises: ``InputError`` where a training, or the trainings of a bench, are asked for what the division shares.

    Other epochs are no change: all models of a bench get them. ``asked`` by the option's name, None where it is not.
    """
    changed = [f"--{name.replace('_', '-')}" for name, value in asked.items() if value is not None]
    if changed:
        raise InputError(
            f"the fine-tuned division trains all models alike, got {', '.join(changed)}: leave that out, or leave out "
            "--division (the free one)"
        )
