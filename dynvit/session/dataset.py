"""A data set, and the backbone that fits it."""

from __future__ import annotations

from dynvit.backbones.build import BackboneSpec
from dynvit.data.datasets import DatasetSpec
from dynvit.data.folder_dataset import find_dataset

__all__ = ["backbone_for", "default_backbone", "find_dataset"]

_TINY = 8  # pixels: the edge that vit_digits takes


def default_backbone(dataset: DatasetSpec) -> str:
    """What a newcomer gets: a backbone of fitting size."""
    return "vit_digits" if dataset.image_size <= _TINY else "deit_tiny_patch16_224"


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
