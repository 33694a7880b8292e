"""A data set by its name or by the folder that it was packed into, and the backbone that fits it."""

from __future__ import annotations

from dynvit.backbones.build import BackboneSpec
from dynvit.data.datasets import DatasetSpec, datasets

_DEFAULT_BACKBONE = {"digits": "vit_digits"}
_LARGE_BACKBONE = "deit_tiny_patch16_224"


def find_dataset(name: str, data_dir: str | None = None) -> DatasetSpec:
    """A registered data set, or a packed folder.

    Raises: ``InputError`` for a name that is neither, with what was looked for.
    """
    return datasets.get(name)


def default_backbone(dataset: DatasetSpec) -> str:
    """What a newcomer gets: a backbone of fitting size."""
    return _DEFAULT_BACKBONE.get(dataset.name, _LARGE_BACKBONE)


def backbone_for(
    name: str,
    dataset: DatasetSpec,
    weights: str | None = None,
    image_size: int | None = None,
    new_head: bool = False,
    seed: int = 0,
) -> BackboneSpec:
    """The backbone as a data set wants it: its classes, and its mean and std where it has its own.

    Args:
        name: timm's.
        dataset: gives classes, and mean and std where it has its own.
        weights: a path or an address; None: drawn.
        image_size: edge in pixels; None: as published.
        new_head: whether weights of another class count may be taken, their head drawn anew.
        seed: draws what is drawn.
    """
    return BackboneSpec(
        name=name,
        image_size=image_size,
        num_classes=dataset.num_classes,
        weights=weights,
        mean=dataset.mean,
        std=dataset.std,
        new_head=new_head,
        seed=seed,
    )
