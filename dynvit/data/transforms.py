"""From a decoded image to the pixels that a model takes: uint8, not normalised, of the model's size."""

from __future__ import annotations

import functools
import math
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision import transforms as tv

from dynvit.data.datasets import DatasetSpec
from dynvit.errors import InputError
from dynvit.interface import Augment

PixelTransform = Callable[[Image.Image], Tensor]
_INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos", "box", "hamming")
CropMode = Literal["center", "squash", "border"]


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes a model's input; a record stores it.

    ``crop_mode`` is timm's. ``center``: the shorter edge is resized to ``image_size / crop_pct``, then the centre is
    cropped. ``squash``: both edges are, so that the aspect ratio changes. ``border``: the longer edge is, and a border
    of the colour ``mean`` fills the rest.

    Units: ``image_size`` pixels; ``mean`` and ``std`` per channel of pixels in [0, 1], applied by the model.
    """

    image_size: int
    crop_pct: float
    interpolation: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    crop_mode: CropMode = "center"

    def __post_init__(self) -> None:
        if self.image_size < 1 or not 0 < self.crop_pct <= 1:
            raise InputError(
                f"image size must be 1 pixel or more and crop_pct in (0, 1], got {self.image_size} and {self.crop_pct}"
            )
        if self.interpolation not in _INTERPOLATIONS:
            raise InputError(f"interpolation must be one of {', '.join(_INTERPOLATIONS)}, got {self.interpolation!r}")
        if self.crop_mode not in get_args(CropMode):
            raise InputError(f"crop_mode must be one of {', '.join(get_args(CropMode))}, got {self.crop_mode!r}")
        if not all(0 <= mean <= 1 for mean in self.mean) or not all(0 < std < math.inf for std in self.std):
            raise InputError(f"mean must be in [0, 1] and std above 0, got mean {self.mean} and std {self.std}")


def preprocessing_for(
    pretrained_cfg: Mapping[str, Any],
    spec: DatasetSpec,
    *,
    image_size: int | None = None,
    crop_pct: float | None = None,
    interpolation: str | None = None,
    mean: tuple[float, float, float] | None = None,
    std: tuple[float, float, float] | None = None,
) -> Preprocessing:
    """The given values, else those of the data set, else those of the timm model's ``pretrained_cfg``.

    Sets of small images are not cropped (``crop_pct`` 1): a tenth of 32 pixels is content. Of a config with other
    values for testing (``test_input_size``, ``test_crop_pct``) those of training are taken, as
    ``resolve_data_config`` does.

    Raises: ``InputError`` for a config without square three-channel input, or with a value that cannot be followed.
    """
    from timm.data import resolve_data_config

    config = resolve_data_config({}, pretrained_cfg=dict(pretrained_cfg))
    known = {"input_size", "interpolation", "mean", "std", "crop_pct", "crop_mode"}
    if unknown := sorted(name for name in config.keys() - known if config[name]):
        raise InputError(f"timm's preprocessing has {', '.join(unknown)}, which would be lost: take another backbone")
    channels, height, width = config["input_size"]
    if channels != 3 or (image_size is None and height != width):
        raise InputError(f"the backbone must take square images of 3 channels, got {config['input_size']}")
    return Preprocessing(
        image_size=image_size or height,
        crop_pct=crop_pct or (1.0 if spec.small else float(config["crop_pct"])),
        interpolation=interpolation or config["interpolation"],
        mean=mean or spec.mean or _three("mean", config["mean"]),
        std=std or spec.std or _three("std", config["std"]),
        crop_mode=config["crop_mode"],
    )


def _three(name: str, values: Any) -> tuple[float, float, float]:
    try:
        red, green, blue = map(float, values)
    except (TypeError, ValueError) as error:
        raise InputError(f"the backbone's {name} must be three numbers, one a channel, got {values!r}") from error
    return red, green, blue


def evaluation_transform(preprocessing: Preprocessing) -> tv.Compose:
    """timm's evaluation transform up to, but without, its normalisation.

    Shape: an RGB image → uint8 (3, ``image_size``, ``image_size``).
    """
    from timm.data import create_transform

    transform: tv.Compose = create_transform(
        input_size=preprocessing.image_size,
        interpolation=preprocessing.interpolation,
        crop_pct=preprocessing.crop_pct,
        crop_mode=preprocessing.crop_mode,
        mean=preprocessing.mean,
        std=preprocessing.std,
        normalize=False,
    )
    return transform


def training_transform(preprocessing: Preprocessing, augment: Augment) -> PixelTransform:
    """The part of augmentation that works on one image: random resized crop, RandAugment, colour jitter.

    Flips, shifts and erasing work on whole batches: ``dynvit.data.augment``. Colour jitter is left out under
    RandAugment, as in timm. Uses the global random states: call ``seed_cpu`` before.

    Shape: an RGB image → uint8 (3, ``image_size``, ``image_size``).
    """
    if not works_on_images(augment):
        return evaluation_transform(preprocessing)
    from timm.data.auto_augment import rand_augment_transform
    from timm.data.transforms import RandomResizedCropAndInterpolation, str_to_pil_interp

    size, steps = preprocessing.image_size, []
    if augment.crop_scale < 1:
        crop = RandomResizedCropAndInterpolation(
            size, scale=(augment.crop_scale, 1.0), interpolation=preprocessing.interpolation
        )
        steps.append(crop)
    else:
        *cut, _to_tensor = evaluation_transform(preprocessing).transforms
        steps += cut
    if augment.rand_augment:
        hints = {
            "translate_const": int(size * 0.45),
            "img_mean": tuple(min(255, round(255 * m)) for m in preprocessing.mean),
            "interpolation": str_to_pil_interp(preprocessing.interpolation),
        }
        try:
            policy = rand_augment_transform(augment.rand_augment, hints)
        except (AssertionError, ValueError, KeyError) as error:
            raise InputError(
                f"RandAugment {augment.rand_augment!r} is not in timm's notation, such as rand-m9-mstd0.5-inc1"
            ) from error
        for op in policy.ops:
            if op.name.startswith("Posterize"):
                op.level_fn = functools.partial(_at_least_one_bit, op.level_fn)
        steps.append(policy)
    elif augment.color_jitter:
        steps.append(tv.ColorJitter(*[augment.color_jitter] * 3))
    return tv.Compose([*steps, tv.PILToTensor()])


def _at_least_one_bit(level_fn: Callable[..., tuple[int, ...]], level: float, hints: Any) -> tuple[int, ...]:
    """timm posterizes to 0 bits at magnitude 10, which Pillow 13 refuses (before, it made the image black)."""
    bits, *rest = level_fn(level, hints)
    return max(1, bits), *rest


def works_on_images(augment: Augment) -> bool:
    """Whether a training image must be decoded for each view, rather than once."""
    return augment.crop_scale < 1 or bool(augment.rand_augment) or augment.color_jitter > 0


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Python's, NumPy's and torch's random states set to ``seed`` inside; those of the CPU are restored after."""
    with random_states_kept():
        seed_cpu(seed)
        torch.manual_seed(seed)
        yield


def seed_cpu(seed: int) -> None:
    """Set Python's, NumPy's and torch's random states on the CPU: timm's augmentations draw from all three.

    Not ``torch.manual_seed``: until a GPU is used, it formats the stack for the sake of one, a millisecond an image.
    """
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.default_generator.manual_seed(seed)


@contextmanager
def random_states_kept() -> Iterator[None]:
    """The random states of the CPU restored after, so that nothing drawn inside changes a model's dropout."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
