"""A training recipe: its numbers, its augmentation, and what it is for."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatchcase
from typing import Any, Self


@dataclass(frozen=True)
class Situation:
    """What is to be trained: a backbone by timm's name and by family, on a data set.

    ``family`` is the name of its adapter, ``vit`` for plain ViTs. Units: ``image_size`` the edge of the input, pixels.
    """

    backbone: str
    family: str
    dataset: str
    image_size: int

    def __str__(self) -> str:
        return f"{self.backbone} on {self.dataset} at {self.image_size} pixels"


@dataclass(frozen=True)
class Scope:
    """What a recipe is for; what is empty leaves a condition out.

    ``backbones`` are families (vit, t2t, levit, or a plug-in adapter's name) or timm's names, * for anything;
    ``datasets`` names of data sets. ``by_name``: it is never taken unless it is asked for.

    Units: ``from_size`` and ``below_size`` are edges of the input in pixels, the latter 0 for no limit.

    >>> Scope(backbones=("vit",), from_size=160).fits(Situation("deit_tiny_patch16_224", "vit", "imagenet", 224))
    True
    >>> str(Scope(backbones=("vit",), datasets=("cifar10",))), str(Scope())
    ('vit on cifar10', 'any backbone and data set')
    """

    backbones: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    from_size: int = 0
    below_size: int = 0
    by_name: bool = False

    def fits(self, what: Situation) -> bool:
        """Whether a training is what the recipe is for."""
        names = (what.backbone, what.backbone.partition(".")[0], what.family)
        backbone = not self.backbones or any(fnmatchcase(name, one) for one in self.backbones for name in names)
        dataset = not self.datasets or what.dataset in self.datasets
        large = what.image_size >= self.from_size
        return backbone and dataset and large and (not self.below_size or what.image_size < self.below_size)

    def __str__(self) -> str:
        backbones, datasets = ", ".join(self.backbones), ", ".join(self.datasets)
        said = f"{backbones or 'any backbone'} on {datasets}" if backbones or datasets else ""
        if not datasets:
            said = backbones or ("any backbone" if self.from_size or self.below_size else "any backbone and data set")
        if not backbones and datasets:
            said = datasets
        size = [f"from {self.from_size}"] * bool(self.from_size) + [f"below {self.below_size}"] * bool(self.below_size)
        asked = ", where it is asked for" if self.by_name else ""
        return said + (f", {' and '.join(size)} pixels" if size else "") + asked


@dataclass(frozen=True)
class Augment:
    """Augmentation of training images. Zero or empty leaves a step out.

    Units: ``color_jitter``, ``random_erasing``, ``flip`` are timm's strengths and probabilities; ``crop_scale``
    is the least area of a random resized crop, 1 for none; ``padding`` pixels around a shifted crop;
    ``repeats`` views of each image in an epoch (repeated augmentation).
    """

    rand_augment: str = ""
    color_jitter: float = 0.0
    random_erasing: float = 0.0
    flip: float = 0.5
    crop_scale: float = 1.0
    padding: int = 0
    mixup: float = 0.0
    cutmix: float = 0.0
    smoothing: float = 0.0
    repeats: int = 1


def numbers_sha256(recipe: Any) -> str:
    """A hash of all that a recipe trains by; what it is called, is for and comes from does not count."""
    numbers = {key: value for key, value in asdict(recipe).items() if key not in ("name", "scope", "source")}
    return hashlib.sha256(json.dumps(numbers, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Recipe:
    """A named training recipe: the settings that all methods share. A method with further settings subclasses it.

    Units: ``lr`` at ``batch_size`` images an optimiser step over all processes; ``warmup_epochs`` of the
    stage; ``clip_grad`` a norm, 0 for none; ``ema_decay`` per step, 0 for none; ``drop_path`` the rate of stochastic
    depth at the last block, rising linearly from 0 at the first, of methods that have it.
    """

    epochs: int
    batch_size: int
    lr: float
    weight_decay: float = 0.05
    warmup_epochs: float = 0.0
    min_lr: float = 1e-6
    ema_decay: float = 0.0
    clip_grad: float = 0.0
    drop_path: float = 0.0
    augment: Augment = Augment()
    scope: Scope = Scope()
    """What the recipe is for: where it fits, and no other does, it is the default."""
    source: str = ""
    """Where the numbers come from: a paper's section, a repository's README, or our own measurement."""

    def with_backbone_lr(self, rate: float) -> Self:
        """The recipe with another learning rate for what the backbone brought; a subclass with several overrides it."""
        return replace(self, lr=rate)
